"""The filters of assets: the same for pages, API and searches."""

import django_filters

from gallery.images import CONTENT_TYPES
from gallery.models import Asset, AssetQuerySet, Collection


class AssetFilter(django_filters.FilterSet):  # type: ignore[misc]  # it has no types
    q = django_filters.CharFilter(method="by_text", label="Text", max_length=200)
    collection = django_filters.ModelChoiceFilter(queryset=Collection.objects.all())
    tag = django_filters.CharFilter(field_name="tags__name", lookup_expr="iexact", label="Tag", max_length=100)
    status = django_filters.ChoiceFilter(choices=Asset.Status.choices)
    format = django_filters.ChoiceFilter(choices=[(name, name) for name in CONTENT_TYPES])

    class Meta:
        model = Asset
        fields: list[str] = []

    def by_text(self, assets: AssetQuerySet, name: str, text: str) -> AssetQuerySet:
        return assets.matching(text)

    @property
    def is_narrowing(self) -> bool:
        """Whether anything is asked for, valid or not."""
        return any(self.data.get(name) for name in self.filters)

    def matching(self) -> AssetQuerySet:
        """The assets that pass; none where a filter cannot be understood."""
        passed: AssetQuerySet = self.qs if self.is_valid() else self.queryset.none()
        return passed
