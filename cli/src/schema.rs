//! `leasehold schema`.

use crate::args::SchemaArgs;
use crate::exit::Failure;
use crate::output::print;
use crate::store::StoreChoice;

pub(crate) async fn schema(store: &StoreChoice, args: SchemaArgs) -> Result<u8, Failure> {
    if args.apply {
        let store = store.open().await?;
        print(&format!("The schema is in place in {}\n", store.label()))?;
    } else {
        print(&store.schema()?)?;
    }
    Ok(0)
}
