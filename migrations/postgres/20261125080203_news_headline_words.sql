-- atlas:txmode none

-- Create index "news_headline_words_idx" to table: "news"
CREATE INDEX CONCURRENTLY "news_headline_words_idx" ON "news" USING gin ((array_to_tsvector(array_remove(string_to_array(regexp_replace(lower((headline COLLATE "C")), '[\x01-\x2f\x3a-\x60\x7b-\x7f]+'::text, ' '::text, 'g'::text), ' '::text), ''::text))));
