-- Where in the text of a sample the model filled in hidden tokens, as a JSON list; NULL where the text goes on from the prompt.
ALTER TABLE sample ADD COLUMN fills TEXT CHECK (json_valid(fills));
