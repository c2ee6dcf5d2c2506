//! The access matrix: which claims make which role, and what each role may see. Deny by default.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use crate::catalog::yaml::Checked;
use crate::catalog::{self, Catalog, Name, Type};

use super::form::MatrixForm;
use super::role::Claimed;
use super::{Error, Grant, Limits, Mask, Right, Role, Tier, compile};

/// The file of the matrix, in the catalog's folder.
pub const MATRIX_FILE: &str = "access.yaml";

/// Roles, as `access.yaml` states them.
#[derive(Debug)]
pub struct Matrix {
    roles: Vec<Arc<Role>>,
    id: [u8; 16],
}

impl Matrix {
    /// Reads `access.yaml` in the catalog's folder. `reads` says whether a text is a value of a type.
    ///
    /// # Errors
    /// When the file cannot be read, or with every fault in it.
    pub fn load(folder: &Path, catalog: &Catalog, reads: fn(Type, &str) -> bool) -> Result<Self, catalog::Error> {
        let path = folder.join(MATRIX_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| catalog::Error::Unreadable { path: path.clone(), source })?;
        Self::compile(&path, &text, catalog, reads)
    }

    /// Compiles a matrix from its text.
    ///
    /// # Errors
    /// With every fault in it.
    pub fn compile(
        path: &Path,
        text: &str,
        catalog: &Catalog,
        reads: fn(Type, &str) -> bool,
    ) -> Result<Self, catalog::Error> {
        let mut checked = Checked::new(path, text);
        let form: Option<MatrixForm> = checked.read();
        let roles = form.map_or_else(Vec::new, |form| compile::roles(&form, catalog, reads, &mut checked));
        if checked.faults.is_empty() {
            let id = hash([text.as_bytes()]);
            Ok(Self { roles: roles.into_iter().map(Arc::new).collect(), id })
        } else {
            Err(catalog::Error::Faults(checked.faults))
        }
    }

    /// What tells this matrix from others: equal texts have equal ones.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Every role, in the order of the file.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.iter()
    }

    /// The role of that name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The role of who brings no credential.
    #[must_use]
    pub fn anonymous(&self) -> Option<&Arc<Role>> {
        self.roles.iter().find(|role| role.anonymous())
    }

    /// Whether anything is shown as a keyed hash, for which all instances need the key.
    #[must_use]
    pub fn hashes(&self) -> bool {
        let mut rights = self.roles.iter().flat_map(|role| role.grants()).flat_map(|(_, grant)| grant.rights());
        rights.any(|right| right == Right::Masked(Mask::Hash))
    }

    /// All that any role of a tier may see, as one role that no claims make: for documents of the whole tier.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> Arc<Role> {
        let mut grants: BTreeMap<Name, Arc<Grant>> = BTreeMap::new();
        let mut graphql = false;
        for role in self.roles.iter().filter(|role| role.tier == tier) {
            graphql |= role.graphql;
            for (dataset, grant) in role.grants() {
                let joined = match grants.get(dataset) {
                    Some(other) => Arc::new(grant.join(other)),
                    None => Arc::clone(grant),
                };
                grants.insert(dataset.clone(), joined);
            }
        }
        let name = format!("{tier:?}").to_lowercase();
        let mut role = Role::new(name, tier, String::new(), Claimed::default(), Limits::default(), grants);
        role.graphql = graphql;
        Arc::new(role)
    }

    /// The one role that the claims make.
    ///
    /// # Errors
    /// When they make none, or more than one: which of two rights holds must never be a matter of order.
    pub fn role_of(&self, claims: &Map<String, Value>) -> Result<&Arc<Role>, Error> {
        let mut claimed = self.roles.iter().filter(|role| role.is_claimed_by(claims));
        match (claimed.next(), claimed.next()) {
            (Some(role), None) => Ok(role),
            (None, _) => Err(Error::NoRole),
            (Some(one), Some(other)) => Err(Error::TwoRoles { one: one.name.clone(), other: other.name.clone() }),
        }
    }
}

/// 128 bits of a SHA-256 over parts, each with its length.
pub(super) fn hash<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&context.finish().as_ref()[..16]);
    hash
}
