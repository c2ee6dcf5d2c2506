-- Strings compare bytewise everywhere, so every text column has COLLATE "C"; a prefix then uses a plain index, too.
-- Tables have no foreign keys: each is replaced as a whole when its dataset is published.

CREATE TABLE company_profile (
  symbol text COLLATE "C" NOT NULL,
  company_name text COLLATE "C" NOT NULL,
  cik bigint,
  sec_entity_name text COLLATE "C",
  exchange_current text COLLATE "C",
  current_symbol text COLLATE "C",
  country text COLLATE "C",
  headquarters text COLLATE "C",
  website text COLLATE "C",
  founded_year integer,
  employees integer,
  employees_year integer,
  industries text[] COLLATE "C",
  sp500_date_added date,
  tier text COLLATE "C" NOT NULL,
  PRIMARY KEY (symbol)
);

-- A row a company: a scan of all is as fast as an index for anything but the key.

COMMENT ON TABLE company_profile IS 'Company behind each symbol, a snapshot';
COMMENT ON COLUMN company_profile.symbol IS 'Ticker as in the price files';
COMMENT ON COLUMN company_profile.company_name IS 'Name for display';
COMMENT ON COLUMN company_profile.cik IS 'SEC central index key';
COMMENT ON COLUMN company_profile.sec_entity_name IS 'Name in the SEC''s list';
COMMENT ON COLUMN company_profile.exchange_current IS 'Exchange now';
COMMENT ON COLUMN company_profile.current_symbol IS 'Ticker now';
COMMENT ON COLUMN company_profile.country IS 'Country of the headquarters';
COMMENT ON COLUMN company_profile.headquarters IS 'City and state';
COMMENT ON COLUMN company_profile.website IS 'Host name of the site';
COMMENT ON COLUMN company_profile.founded_year IS 'Year of foundation';
COMMENT ON COLUMN company_profile.employees IS 'Employees in employees_year';
COMMENT ON COLUMN company_profile.employees_year IS 'Year of employees';
COMMENT ON COLUMN company_profile.industries IS 'Industries, sorted, without nulls';
COMMENT ON COLUMN company_profile.sp500_date_added IS 'First day in the S&P 500';
COMMENT ON COLUMN company_profile.tier IS 'core or optional, ours';
