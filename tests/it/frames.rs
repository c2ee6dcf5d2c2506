//! Python reads answers: polars, pandas and pyarrow get equal frames with the contract's types, in every format, from
//! every source.

use serde_json::{Value, json};

use crate::differential::houses::Houses;
use crate::programs::{python, ran};

/// The datasets that have, together, every type and decimals of 38 digits.
const DATASETS: [&str; 2] = ["edge", "edge_wide"];
/// Formats times libraries.
const FRAMES: usize = 5 * 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polars_pandas_and_pyarrow_get_equal_frames_in_every_format_from_every_source() {
    let houses = Houses::open().await;
    let doors = houses.doors();
    let servers: Value =
        doors.iter().map(|(backend, url, token)| json!([format!("{backend:?}"), url, token])).collect();
    for dataset in DATASETS {
        let ran = ran(python(&["tests/python/frames.py", dataset, &servers.to_string()])).await;
        let said: Value = serde_json::from_str(ran.well()).expect("JSON");
        let rows = houses.world.rows(dataset).len();
        assert_eq!(said, json!({"rows": rows, "frames": doors.len() * FRAMES}), "{dataset}");
    }
    houses.close().await;
}
