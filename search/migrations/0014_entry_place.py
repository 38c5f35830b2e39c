from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("search", "0013_entry_picture")]

    operations = [
        migrations.AddField(
            "entry",
            "place",
            models.PositiveIntegerField(
                default=0, help_text="Among the pictures as they were given; answers come in any order."
            ),
            preserve_default=False,
        ),
        migrations.AlterModelOptions("entry", {"ordering": ("place", "pk")}),
    ]
