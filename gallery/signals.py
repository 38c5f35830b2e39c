"""What gallery tells whoever listens."""

from django.dispatch import Signal

#: Sent after the commit that stored an asset. Arguments: asset_id (int), in_bulk (bool: one of very many).
asset_stored = Signal()
#: Sent when the last of very many assets has been stored. No arguments.
bulk_finished = Signal()
