"""What pages say: reads of the record made ready to be shown. Nothing here changes or decides anything."""
