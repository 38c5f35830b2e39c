from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0011_tag_changes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='change',
            name='kind',
            field=models.CharField(choices=[('title', 'Title'), ('tags', 'Tags'), ('collection', 'Collection'), ('trashed', 'Moved to the trash'), ('restored', 'Restored'), ('place', 'Moved within its collection'), ('owner', 'Given another owner')], max_length=10),
        ),
    ]
