//! What is asked of the system catalogs. Every answer has the same columns: the identity of an object (`class`, `oid`,
//! `sub`), its kind, its names, what it is part of, and its fields as JSON.
//!
//! Columns that only some releases have are read through `to_jsonb`, so one text serves all of 13 to 18.

/// The schemas that are looked at, and what belongs to extensions.
pub(super) const PRELUDE: &str = "WITH spaces AS (SELECT oid, nspname FROM pg_catalog.pg_namespace
   WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
 members AS (SELECT classid, objid, refobjid FROM pg_catalog.pg_depend
   WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass),
 relations AS (SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS whole,
     CASE WHEN c.relkind IN ('r', 'p') THEN 'table' WHEN c.relkind = 'v' THEN 'view'
          WHEN c.relkind = 'm' THEN 'materialized_view' WHEN c.relkind = 'c' THEN 'composite' END AS what
   FROM pg_catalog.pg_class c JOIN spaces n ON n.oid = c.relnamespace
   WHERE NOT EXISTS (SELECT FROM members e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)) ";

/// Stands for what the grantees may do by an access list.
pub(super) const GRANTS: &str =
    "(SELECT string_agg(coalesce(quote_ident(r.rolname), 'PUBLIC') || ' ' || x.privilege_type
   || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, E'\\n'
   ORDER BY r.rolname, x.privilege_type)
   FROM aclexplode(ACL) x LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
   WHERE coalesce(r.rolname, 'public') = ANY ($1::text[]))";

const COLLATION_OF: &str = "(SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_catalog.pg_collation co
   JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = ";

const NAMESPACES: &str =
    "SELECT 'pg_namespace'::regclass, n.oid, 0, 'schema', quote_ident(n.nspname), quote_ident(n.nspname),
   NULL, NULL, jsonb_build_object('comment', obj_description(n.oid, 'pg_namespace'), 'grants', GRANTS<a.nspacl>)
 FROM spaces n JOIN pg_catalog.pg_namespace a ON a.oid = n.oid
 WHERE NOT EXISTS (SELECT FROM members e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid)";

const EXTENSIONS: &str =
    "SELECT 'pg_extension'::regclass, x.oid, 0, 'extension', quote_ident(x.extname), quote_ident(x.extname),
   NULL, NULL, jsonb_build_object('schema', quote_ident(n.nspname), 'comment', obj_description(x.oid, 'pg_extension'))
 FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace";

const COLLATIONS: &str = "SELECT 'pg_collation'::regclass, c.oid, 0, 'collation', format('%I.%I', n.nspname, c.collname),
   quote_ident(c.collname), NULL, NULL, jsonb_build_object(
   'definition', concat_ws(', ',
     'provider = ' || CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
     'locale = ' || quote_literal(coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale',
       CASE WHEN c.collcollate = c.collctype THEN c.collcollate END)),
     CASE WHEN c.collcollate <> c.collctype THEN format('lc_collate = %L, lc_ctype = %L', c.collcollate, c.collctype) END,
     'rules = ' || quote_literal(to_jsonb(c) ->> 'collicurules'),
     CASE WHEN NOT c.collisdeterministic THEN 'deterministic = false' END),
   'comment', obj_description(c.oid, 'pg_collation'))
 FROM pg_catalog.pg_collation c JOIN spaces n ON n.oid = c.collnamespace
 WHERE NOT EXISTS (SELECT FROM members e WHERE e.classid = 'pg_collation'::regclass AND e.objid = c.oid)";

const TYPES: &str = "SELECT 'pg_type'::regclass, t.oid, 0,
   CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'composite' END,
   format('%I.%I', n.nspname, t.typname), quote_ident(t.typname), NULL, NULL, jsonb_build_object(
   'labels', CASE t.typtype WHEN 'e' THEN (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder)
     FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)::text END,
   'base', CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
   'collation', CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN COLLATION<t.typcollation> END,
   'default', CASE t.typtype WHEN 'd' THEN coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault) END,
   'not_null', CASE WHEN t.typtype = 'd' AND t.typnotnull THEN 'yes' END,
   'attributes', CASE t.typtype WHEN 'c' THEN (SELECT json_agg(json_build_array(quote_ident(a.attname),
     format_type(a.atttypid, a.atttypmod) || coalesce(' COLLATE ' || CASE WHEN a.attcollation <> at.typcollation
       THEN COLLATION<a.attcollation> END, '')) ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
     JOIN pg_catalog.pg_type at ON at.oid = a.atttypid
     WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)::text END,
   'definition', (SELECT concat_ws(', ', 'subtype = ' || format_type(r.rngsubtype, NULL),
       CASE WHEN NOT o.opcdefault THEN 'subtype_opclass = ' || (SELECT quote_ident(nspname) FROM pg_catalog.pg_namespace
         WHERE oid = o.opcnamespace) || '.' || quote_ident(o.opcname) END,
       'collation = ' || CASE WHEN r.rngcollation <> (SELECT typcollation FROM pg_catalog.pg_type WHERE oid = r.rngsubtype)
         THEN COLLATION<r.rngcollation> END,
       CASE WHEN r.rngcanonical <> 0 THEN 'canonical = ' || r.rngcanonical::regproc END,
       CASE WHEN r.rngsubdiff <> 0 THEN 'subtype_diff = ' || r.rngsubdiff::regproc END,
       'multirange_type_name = ' || (SELECT format('%I.%I', mn.nspname, m.typname) FROM pg_catalog.pg_type m
         JOIN pg_catalog.pg_namespace mn ON mn.oid = m.typnamespace
         WHERE m.oid = (to_jsonb(r) ->> 'rngmultitypid')::oid))
     FROM pg_catalog.pg_range r JOIN pg_catalog.pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid),
   'comment', obj_description(t.oid, 'pg_type'), 'grants', GRANTS<t.typacl>)
 FROM pg_catalog.pg_type t JOIN spaces n ON n.oid = t.typnamespace
 LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
 LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
 WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
   AND NOT EXISTS (SELECT FROM members e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)";

const DOMAIN_CONSTRAINTS: &str = "SELECT 'pg_constraint'::regclass, k.oid, 0, 'domain_constraint',
   format('%I.%I.%I', n.nspname, t.typname, k.conname), quote_ident(k.conname), 'domain', format('%I.%I', n.nspname, t.typname),
   jsonb_build_object('definition', pg_get_constraintdef(k.oid), 'comment', obj_description(k.oid, 'pg_constraint'))
 FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_type t ON t.oid = k.contypid JOIN spaces n ON n.oid = t.typnamespace
 WHERE k.contype = 'c' AND NOT EXISTS (SELECT FROM members e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)";

const SEQUENCES: &str = "SELECT 'pg_class'::regclass, c.oid, 0, 'sequence', c.whole, quote_ident(c.relname), NULL, NULL,
   jsonb_build_object('type', format_type(s.seqtypid, NULL), 'start', s.seqstart::text, 'increment', s.seqincrement::text,
     'min', s.seqmin::text, 'max', s.seqmax::text, 'cache', s.seqcache::text, 'cycle', CASE WHEN s.seqcycle THEN 'yes' END,
     'unlogged', CASE c.relpersistence WHEN 'u' THEN 'yes' END,
     'comment', obj_description(c.oid, 'pg_class'), 'grants', GRANTS<c.relacl>)
 FROM relations c JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
   AND d.deptype = 'i' AND d.refclassid = 'pg_class'::regclass)";

const OWNERSHIPS: &str = "SELECT 0::oid, c.oid, -1, 'ownership', c.whole, quote_ident(c.relname), NULL, NULL,
   jsonb_build_object('column', format('%s.%I', t.whole, a.attname))
 FROM relations c JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a'
   AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
 JOIN relations t ON t.oid = d.refobjid
 JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
 WHERE c.relkind = 'S'";

const FUNCTIONS: &str =
    "SELECT 'pg_proc'::regclass, p.oid, 0, CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
   format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)), quote_ident(p.proname), NULL, NULL,
   jsonb_build_object('definition', pg_get_functiondef(p.oid),
     '_shape', concat_ws('|', p.prokind, pg_get_function_result(p.oid), p.proargnames::text, p.proargmodes::text,
       p.proallargtypes::text, p.provariadic),
     '_defaults', p.pronargdefaults::text,
     'comment', obj_description(p.oid, 'pg_proc'), 'grants', GRANTS<p.proacl>)
 FROM pg_catalog.pg_proc p JOIN spaces n ON n.oid = p.pronamespace
 WHERE p.prokind IN ('f', 'p', 'w')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
     AND d.deptype = 'i')
   AND NOT EXISTS (SELECT FROM members e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)";

const AGGREGATES: &str = "SELECT 'pg_proc'::regclass, p.oid, 0, 'aggregate',
   format('%I.%I(%s)', n.nspname, p.proname, CASE p.pronargs WHEN 0 THEN '*' ELSE oidvectortypes(p.proargtypes) END),
   quote_ident(p.proname), NULL, NULL, jsonb_build_object(
   'definition', concat_ws(', ', 'SFUNC = ' || g.aggtransfn::regproc, 'STYPE = ' || format_type(g.aggtranstype, NULL),
     CASE WHEN g.aggfinalfn <> 0 THEN 'FINALFUNC = ' || g.aggfinalfn::regproc END,
     CASE WHEN g.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
     CASE WHEN g.aggcombinefn <> 0 THEN 'COMBINEFUNC = ' || g.aggcombinefn::regproc END,
     CASE WHEN g.aggmtransfn <> 0 THEN format('MSFUNC = %s, MINVFUNC = %s, MSTYPE = %s', g.aggmtransfn::regproc,
       g.aggminvtransfn::regproc, format_type(g.aggmtranstype, NULL)) END,
     CASE WHEN g.aggmfinalfn <> 0 THEN 'MFINALFUNC = ' || g.aggmfinalfn::regproc END,
     'INITCOND = ' || quote_literal(g.agginitval), 'MINITCOND = ' || quote_literal(g.aggminitval),
     CASE p.proparallel WHEN 's' THEN 'PARALLEL = safe' WHEN 'r' THEN 'PARALLEL = restricted' END),
   'comment', obj_description(p.oid, 'pg_proc'), 'grants', GRANTS<p.proacl>)
 FROM pg_catalog.pg_proc p JOIN spaces n ON n.oid = p.pronamespace JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid
 WHERE g.aggkind = 'n' AND NOT EXISTS (SELECT FROM members e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)";

const TABLES: &str = "SELECT 'pg_class'::regclass, c.oid, 0, 'table', c.whole, quote_ident(c.relname), NULL, NULL,
   jsonb_build_object(
   'unlogged', CASE c.relpersistence WHEN 'u' THEN 'yes' END,
   'options', (SELECT json_agg(json_build_array(split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)) ORDER BY o)
     FROM unnest(c.reloptions) o)::text,
   'partition_by', pg_get_partkeydef(c.oid),
   'partition_of', CASE WHEN c.relispartition THEN (SELECT p.whole FROM pg_catalog.pg_inherits i
     JOIN relations p ON p.oid = i.inhparent WHERE i.inhrelid = c.oid) END,
   'bound', pg_get_expr(c.relpartbound, c.oid),
   'inherits', CASE WHEN NOT c.relispartition THEN (SELECT json_agg(p.whole ORDER BY i.inhseqno)
     FROM pg_catalog.pg_inherits i JOIN relations p ON p.oid = i.inhparent WHERE i.inhrelid = c.oid)::text END,
   'row_security', CASE WHEN c.relrowsecurity THEN 'yes' END,
   'forced_row_security', CASE WHEN c.relforcerowsecurity THEN 'yes' END,
   'comment', obj_description(c.oid, 'pg_class'), 'grants', GRANTS<c.relacl>)
 FROM relations c WHERE c.relkind IN ('r', 'p')";

const COLUMNS: &str = "SELECT 'pg_class'::regclass, c.oid, a.attnum::int, 'column', format('%s.%I', c.whole, a.attname),
   quote_ident(a.attname), 'table', c.whole, jsonb_build_object(
   'type', format_type(a.atttypid, a.atttypmod),
   'collation', CASE WHEN a.attcollation <> t.typcollation THEN COLLATION<a.attcollation> END,
   'not_null', CASE WHEN a.attnotnull THEN 'yes' END,
   'generated', CASE a.attgenerated WHEN 's' THEN '(' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
     WHEN 'v' THEN '(' || pg_get_expr(d.adbin, d.adrelid) || ') VIRTUAL' END,
   'identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
   'identity_sequence', s.whole,
   'identity_options', CASE WHEN s.seqrelid IS NOT NULL THEN format(
     'START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s %sCYCLE', s.seqstart, s.seqincrement, s.seqmin,
     s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN '' ELSE 'NO ' END) END,
   '_identity_plain', CASE WHEN (s.seqstart, s.seqincrement, s.seqmin, s.seqcache, s.seqcycle) = (1, 1, 1, 1, false)
     AND s.seqmax = CASE s.seqtypid WHEN 'int8'::regtype THEN 9223372036854775807 WHEN 'int4'::regtype THEN 2147483647
     ELSE 32767 END AND s.whole = format('%I.%I', c.nspname, c.relname || '_' || a.attname || '_seq') THEN 'yes' END,
   'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
     WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END,
   '_storage', CASE t.typstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END,
   'compression', CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
   'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget::text END,
   'options', array_to_string(a.attoptions, ', '),
   'comment', col_description(c.oid, a.attnum), 'grants', GRANTS<a.attacl>,
   '_position', lpad(a.attnum::text, 5, '0'), '_inherited', CASE WHEN a.attinhcount > 0 THEN 'yes' END)
 FROM relations c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
 LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 LEFT JOIN (SELECT i.refobjid, i.refobjsubid, q.*, r.whole FROM pg_catalog.pg_sequence q
   JOIN relations r ON r.oid = q.seqrelid
   JOIN pg_catalog.pg_depend i ON i.classid = 'pg_class'::regclass AND i.objid = q.seqrelid AND i.deptype = 'i'
     AND i.refclassid = 'pg_class'::regclass) s ON s.refobjid = c.oid AND s.refobjsubid = a.attnum
 WHERE c.relkind IN ('r', 'p')";

const DEFAULTS: &str = "SELECT 'pg_attrdef'::regclass, d.oid, 0, 'default', format('%s.%I', c.whole, a.attname),
   quote_ident(a.attname), 'column', format('%s.%I', c.whole, a.attname),
   jsonb_build_object('expression', pg_get_expr(d.adbin, d.adrelid))
 FROM relations c JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid
 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum AND a.attgenerated = ''
 WHERE c.relkind IN ('r', 'p')";

const CONSTRAINTS: &str =
    "SELECT 'pg_constraint'::regclass, k.oid, 0, 'constraint', format('%s.%I', c.whole, k.conname),
   quote_ident(k.conname), 'table', c.whole, jsonb_build_object('definition', pg_get_constraintdef(k.oid),
   '_type', k.contype::text, '_schema', quote_ident(c.nspname),
   '_index', CASE WHEN k.contype IN ('p', 'u', 'x') THEN pg_get_indexdef(k.conindid) END,
   'comment', obj_description(k.oid, 'pg_constraint'))
 FROM relations c JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
 WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conparentid = 0 AND k.coninhcount = 0 AND c.relkind IN ('r', 'p')";

const INDEXES: &str =
    "SELECT 'pg_class'::regclass, x.oid, 0, 'index', x.whole, quote_ident(x.relname), c.what, c.whole,
   jsonb_build_object('definition', pg_get_indexdef(x.oid),
   'invalid', CASE WHEN NOT i.indisvalid AND x.relkind = 'i' THEN 'yes' END,
   'clustered', CASE WHEN i.indisclustered THEN 'yes' END, '_schema', quote_ident(x.nspname),
   'comment', obj_description(x.oid, 'pg_class'))
 FROM relations x JOIN pg_catalog.pg_index i ON i.indexrelid = x.oid JOIN relations c ON c.oid = i.indrelid
 WHERE x.relkind IN ('i', 'I') AND NOT x.relispartition AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
   WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x') AND k.conrelid = c.oid)";

const REPLICA_IDENTITIES: &str =
    "SELECT 0::oid, c.oid, -2, 'replica_identity', c.whole, quote_ident(c.relname), 'table', c.whole,
   jsonb_build_object('identity', CASE c.relreplident WHEN 'n' THEN 'NOTHING' WHEN 'f' THEN 'FULL'
     ELSE 'USING INDEX ' || quote_ident(x.relname) END)
 FROM relations c LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisreplident
 LEFT JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
 WHERE c.relkind IN ('r', 'p') AND c.relreplident <> 'd'";

const STATISTICS: &str =
    "SELECT 'pg_statistic_ext'::regclass, s.oid, 0, 'statistics', format('%I.%I', n.nspname, s.stxname),
   quote_ident(s.stxname), c.what, c.whole, jsonb_build_object('definition', pg_get_statisticsobjdef(s.oid),
   'comment', obj_description(s.oid, 'pg_statistic_ext'))
 FROM pg_catalog.pg_statistic_ext s JOIN spaces n ON n.oid = s.stxnamespace JOIN relations c ON c.oid = s.stxrelid";

const VIEWS: &str = "SELECT 'pg_class'::regclass, c.oid, 0, c.what, c.whole, quote_ident(c.relname), NULL, NULL,
   jsonb_build_object('definition', rtrim(pg_get_viewdef(c.oid), ';'), 'options', array_to_string(c.reloptions, ', '),
   '_columns', (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attcollation, E'\\n'
     ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
   'comment', obj_description(c.oid, 'pg_class'), 'grants', GRANTS<c.relacl>)
 FROM relations c WHERE c.relkind IN ('v', 'm')";

const VIEW_COLUMNS: &str =
    "SELECT 'pg_class'::regclass, c.oid, a.attnum::int, 'view_column', format('%s.%I', c.whole, a.attname),
   quote_ident(a.attname), c.what, c.whole, jsonb_build_object('default', pg_get_expr(d.adbin, d.adrelid),
   'comment', col_description(c.oid, a.attnum), 'grants', GRANTS<a.attacl>)
 FROM relations c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relkind IN ('v', 'm', 'c')
   AND (col_description(c.oid, a.attnum) IS NOT NULL OR d.oid IS NOT NULL OR GRANTS<a.attacl> IS NOT NULL)";

const RULES: &str = "SELECT 'pg_rewrite'::regclass, r.oid, 0, 'rule', format('%s.%I', c.whole, r.rulename), quote_ident(r.rulename),
   c.what, c.whole, jsonb_build_object('definition', rtrim(pg_get_ruledef(r.oid), ';'),
   'comment', obj_description(r.oid, 'pg_rewrite'))
 FROM relations c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN' AND c.what IS NOT NULL";

const TRIGGERS: &str =
    "SELECT 'pg_trigger'::regclass, g.oid, 0, 'trigger', format('%s.%I', c.whole, g.tgname), quote_ident(g.tgname),
   c.what, c.whole, jsonb_build_object('definition', pg_get_triggerdef(g.oid),
   'enabled', CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' END,
   'comment', obj_description(g.oid, 'pg_trigger'))
 FROM relations c JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid
 WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND c.what IS NOT NULL";

const POLICIES: &str =
    "SELECT 'pg_policy'::regclass, p.oid, 0, 'policy', format('%s.%I', c.whole, p.polname), quote_ident(p.polname),
   'table', c.whole, jsonb_build_object('definition', concat_ws(' ',
     CASE WHEN p.polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END,
     'FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
       ELSE 'ALL' END,
     'TO ' || (SELECT string_agg(coalesce(quote_ident(r.rolname), 'PUBLIC'), ', ' ORDER BY r.rolname)
       FROM unnest(p.polroles) o LEFT JOIN pg_catalog.pg_roles r ON r.oid = o),
     'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
     'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'),
   'comment', obj_description(p.oid, 'pg_policy'))
 FROM relations c JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid";

/// Every question.
pub(super) const ALL: [&str; 21] = [
    NAMESPACES,
    EXTENSIONS,
    COLLATIONS,
    TYPES,
    DOMAIN_CONSTRAINTS,
    SEQUENCES,
    OWNERSHIPS,
    FUNCTIONS,
    AGGREGATES,
    TABLES,
    COLUMNS,
    DEFAULTS,
    CONSTRAINTS,
    INDEXES,
    REPLICA_IDENTITIES,
    STATISTICS,
    VIEWS,
    VIEW_COLUMNS,
    RULES,
    TRIGGERS,
    POLICIES,
];

/// What stands for another object where dependencies are told: rows for tables, arrays for elements, rules for views,
/// indexes for constraints, members for extensions. The flag says whether what leans on others does so for the one that it
/// stands for: parts of an index lean on partitions, which the index as a whole does not.
pub(super) const ALIASES: &str = "SELECT 'pg_type'::regclass, oid, 0, 'pg_class'::regclass, typrelid, 0, true
   FROM pg_catalog.pg_type WHERE typtype = 'c'
 UNION ALL SELECT 'pg_class'::regclass, typrelid, 0, 'pg_type'::regclass, t.oid, 0, true
   FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class c ON c.oid = t.typrelid WHERE c.relkind = 'c'
 UNION ALL SELECT 'pg_type'::regclass, oid, 0, 'pg_type'::regclass, typelem, 0, true
   FROM pg_catalog.pg_type WHERE typelem <> 0 AND typtype = 'b'
 UNION ALL SELECT 'pg_type'::regclass, (to_jsonb(r) ->> 'rngmultitypid')::oid, 0, 'pg_type'::regclass, rngtypid, 0, true
   FROM pg_catalog.pg_range r WHERE to_jsonb(r) ? 'rngmultitypid'
 UNION ALL SELECT 'pg_rewrite'::regclass, oid, 0, 'pg_class'::regclass, ev_class, 0, true
   FROM pg_catalog.pg_rewrite WHERE rulename = '_RETURN'
 UNION ALL SELECT 'pg_attrdef'::regclass, oid, 0, 'pg_class'::regclass, adrelid, adnum, true
   FROM pg_catalog.pg_attrdef
 UNION ALL SELECT 'pg_class'::regclass, conindid, 0, 'pg_constraint'::regclass, oid, 0, true
   FROM pg_catalog.pg_constraint WHERE contype IN ('p', 'u', 'x')
 UNION ALL SELECT 'pg_constraint'::regclass, oid, 0, 'pg_constraint'::regclass, conparentid, 0, false
   FROM pg_catalog.pg_constraint WHERE conparentid <> 0
 UNION ALL SELECT 'pg_class'::regclass, inhrelid, 0, 'pg_class'::regclass, inhparent, 0, false
   FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('i', 'I')
 UNION ALL SELECT classid, objid, 0, refclassid, refobjid, refobjsubid, true FROM pg_catalog.pg_depend
   WHERE deptype = 'e' OR (deptype = 'i' AND classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
     AND refobjsubid > 0)";

/// What leans on what.
pub(super) const EDGES: &str =
    "SELECT classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype IN ('a', 'i', 'P', 'S')
   FROM pg_catalog.pg_depend WHERE deptype IN ('n', 'a', 'i', 'P', 'S') AND objid >= 16384
 UNION ALL SELECT 0, d.objid, -1, d.refclassid, d.refobjid, d.refobjsubid, false FROM pg_catalog.pg_depend d
   WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refobjsubid > 0
 UNION ALL SELECT 0, s.seqrelid, -1, 'pg_class'::regclass, s.seqrelid, 0, true FROM pg_catalog.pg_sequence s
 UNION ALL SELECT 0, i.indrelid, -2, 'pg_class'::regclass, i.indexrelid, 0, false FROM pg_catalog.pg_index i
   WHERE i.indisreplident";

/// What is there of kinds that are not looked at.
pub(super) const UNSEEN: &str = "SELECT what, count(*) FROM (
   SELECT 'foreign tables' AS what, 'pg_class'::regclass AS class, oid FROM pg_catalog.pg_class WHERE relkind = 'f'
   UNION ALL SELECT 'operators', 'pg_operator'::regclass, oid FROM pg_catalog.pg_operator
   UNION ALL SELECT 'operator classes', 'pg_opclass'::regclass, oid FROM pg_catalog.pg_opclass
   UNION ALL SELECT 'casts', 'pg_cast'::regclass, oid FROM pg_catalog.pg_cast
   UNION ALL SELECT 'text search configurations', 'pg_ts_config'::regclass, oid FROM pg_catalog.pg_ts_config
   UNION ALL SELECT 'text search dictionaries', 'pg_ts_dict'::regclass, oid FROM pg_catalog.pg_ts_dict
   UNION ALL SELECT 'publications', 'pg_publication'::regclass, oid FROM pg_catalog.pg_publication
   UNION ALL SELECT 'event triggers', 'pg_event_trigger'::regclass, oid FROM pg_catalog.pg_event_trigger
   UNION ALL SELECT 'foreign servers', 'pg_foreign_server'::regclass, oid FROM pg_catalog.pg_foreign_server
   UNION ALL SELECT 'ordered-set aggregates', 'pg_proc'::regclass, aggfnoid FROM pg_catalog.pg_aggregate WHERE aggkind <> 'n'
 ) o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
   WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e') GROUP BY what ORDER BY what";

/// A question with what its words in angle brackets stand for.
pub(super) fn written(text: &str) -> String {
    let collations = replaced(text, "COLLATION<", |oid| format!("{COLLATION_OF}{oid})"));
    let grants = replaced(&collations, "GRANTS<", |acl| GRANTS.replace("ACL", acl));
    format!(
        "{PRELUDE}SELECT q.class::oid::int8 AS class, q.oid::int8 AS oid, q.sub::int4 AS sub, q.kind::text AS kind, \
         q.name::text AS name, q.local::text AS local, q.parent_kind::text AS parent_kind, q.parent::text AS parent, \
         jsonb_strip_nulls(q.fields)::text AS fields \
         FROM ({grants}) q (class, oid, sub, kind, name, local, parent_kind, parent, fields)"
    )
}

fn replaced(text: &str, open: &str, written: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let (inside, behind) = after.split_once('>').unwrap_or((after, ""));
        out += before;
        out += &written(inside);
        rest = behind;
    }
    out + rest
}
