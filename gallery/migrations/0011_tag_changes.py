import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0010_orders'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='change',
            name='kind',
            field=models.CharField(choices=[('title', 'Title'), ('tags', 'Tags'), ('collection', 'Collection'), ('trashed', 'Moved to the trash'), ('restored', 'Restored'), ('place', 'Moved within its collection')], max_length=10),
        ),
        migrations.CreateModel(
            name='TagChange',
            fields=[
                ('act', models.UUIDField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('tag_id', models.BigIntegerField()),
                ('before', models.CharField(max_length=100)),
                ('after', models.CharField(blank=True, max_length=100)),
                ('named_by', models.JSONField(default=list, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('is_undone', models.BooleanField(default=False)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
    ]
