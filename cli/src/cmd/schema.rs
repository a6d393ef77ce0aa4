//! `leasehold schema` prints or creates the store's schema, or prints that of a fence.

use serde_json::json;

use crate::args::SchemaArgs;
use crate::io::exit::Failure;
use crate::io::stdout::{print, print_json};
use crate::settings::configuration::CliConfiguration;
use crate::store_choice::StoreChoice;

pub(crate) async fn schema(
    store: &StoreChoice,
    configuration: &CliConfiguration,
    args: SchemaArgs,
) -> Result<u8, Failure> {
    if args.apply {
        let store = store.open().await?;
        match args.json {
            true => print_json(&json!({ "store": store.label(), "applied": true }))?,
            false => print(&format!("The schema exists in {}\n", store.label()))?,
        }
    } else {
        let statements = match &args.fence {
            Some(url) => leasehold_fence::url::schema(url, &configuration.library.namespace)?,
            None => store.schema()?,
        };
        match args.json {
            true => print_json(&json!({ "statements": statements }))?,
            false => print(&statements)?,
        }
    }
    Ok(0)
}
