"""Labels a data set on a Ray cluster: ``python -m relabel.ray`` starts one ``relabel run`` for each range of shards.

Store, images, teacher and the program ``relabel`` must have the same paths on every machine. Requires Ray; machines that only
label do not need this package.
"""
