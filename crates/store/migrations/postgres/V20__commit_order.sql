-- Ordered deliveries go out in the order of their commits: ids of two nodes that were made within one tick, or by clocks
-- that differ, say nothing about who came first. `place` is drawn while the endpoint is locked; rows that were there
-- before, or were moved here from an embedded store, have none and come first, by message.
CREATE SEQUENCE delivery_place;
ALTER TABLE delivery ADD COLUMN place BIGINT;
DROP INDEX delivery_order;
CREATE INDEX delivery_order ON delivery (app, endpoint, order_key, place NULLS FIRST, message)
    WHERE order_key IS NOT NULL AND state IN (0, 1, 5);
