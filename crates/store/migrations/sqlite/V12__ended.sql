-- Deliveries that failed or were cancelled, for lists and counts of them: they are few among millions that were delivered, and
-- a delivery that goes well never touches this index.
CREATE INDEX delivery_ended ON delivery (endpoint, state, message) WHERE state IN (3, 4);
