-- The tables of the runbook's "data consistency verification", with rows enough
-- that a loss shows.
CREATE TABLE vendor_equipment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vendor text NOT NULL,
    model text NOT NULL,
    serial text NOT NULL UNIQUE
);

INSERT INTO vendor_equipment (vendor, model, serial)
SELECT 'vendor-' || n % 20, 'model-' || n % 300, to_char(n, 'FM"SN"000000')
FROM generate_series(1, 5000) AS n;

CREATE TABLE threat_intelligence (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    indicator text NOT NULL UNIQUE,
    severity text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical'))
);

INSERT INTO threat_intelligence (indicator, severity)
SELECT md5(n::text), (ARRAY['low', 'medium', 'high', 'critical'])[1 + n % 4]
FROM generate_series(1, 3000) AS n;
