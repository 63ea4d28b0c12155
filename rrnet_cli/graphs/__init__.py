"""Features, scores and links to edge tables to a DGL heterograph."""
