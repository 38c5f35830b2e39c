"""What gallery tells whoever listens."""

from django.dispatch import Signal

#: Sent after the commit that stored an asset. Arguments: asset_id (int), in_bulk (bool: one of very many).
asset_stored = Signal()
#: Sent in the transaction that moves assets to the trash, or deletes them that are not in it, before it touches them.
#: Argument: asset_ids (list of int).
assets_leaving = Signal()
#: Sent in the transaction that takes assets out of the trash, before it touches them. Argument: asset_ids.
assets_returning = Signal()
#: Sent when the last of very many assets has been stored. No arguments.
bulk_finished = Signal()
