//! Users and invitations; and the door to all that belongs to people, which hands on to its neighbour for sessions.

use super::{
    Sqlite, failed, failed_or_taken, resets,
    rows::{Way, all, col, corrupt, execute, first, ksuid},
    sessions,
};
use crate::{
    error::StoreError,
    people::{Guest, KeyHash, Notice, People, Session, UserChange},
};
use async_trait::async_trait;
use domain::{
    ApplicationId, Grant, Invitation, InvitationId, Ksuid, OrganizationId, PageOf, PageQuery, Role, Subject, Timestamp,
    User, UserId,
};
use rusqlite::{Connection, Row, params};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.org, p.email, p.name, p.password, p.issuer, p.subject, p.operator, p.disabled, p.created_at
             FROM person p ",
            $rest
        )
    };
}

const BY_ID: &str = select!("WHERE p.id = ?1");
const BY_EMAIL: &str = select!("WHERE p.email = ?1");
const BY_SUBJECT: &str = select!("WHERE p.issuer = ?1 AND p.subject = ?2 AND p.subject IS NOT NULL");
const ASCENDING: &str = select!("WHERE p.org = ?1 AND p.id > ?2 ORDER BY p.id LIMIT ?3");
const DESCENDING: &str = select!("WHERE p.org = ?1 AND p.id < ?2 ORDER BY p.id DESC LIMIT ?3");
const OF_APP_ASCENDING: &str = select!(
    "JOIN membership m ON m.person = p.id WHERE m.app = ?4 AND m.person > ?2 AND p.org = ?1 ORDER BY m.person LIMIT ?3"
);
const OF_APP_DESCENDING: &str = select!(
    "JOIN membership m ON m.person = p.id WHERE m.app = ?4 AND m.person < ?2 AND p.org = ?1 ORDER BY m.person DESC
     LIMIT ?3"
);
const ROLES: &str = "SELECT app, role FROM membership WHERE person = ?1";
const INVITATION: &str = "SELECT id, org, app, role, for_whom, invited_by, created_at, expires_at FROM invitation
                          WHERE hash = ?1 AND expires_at > ?2";
const INVITATIONS: &str = "SELECT id, org, app, role, for_whom, invited_by, created_at, expires_at FROM invitation
                           WHERE org = ?1 AND expires_at > ?2 AND (?3 IS NULL OR app = ?3) ORDER BY id LIMIT 1000";

fn user(conn: &Connection, row: &Row<'_>) -> Result<User, StoreError> {
    let id = UserId(ksuid(col(row, 0)?));
    let organization: String = col(row, 1)?;
    let (issuer, subject): (Option<String>, Option<String>) = (col(row, 5)?, col(row, 6)?);
    let role = |row: &Row<'_>| {
        let role: String = col(row, 1)?;
        let role = role.parse().map_err(|e| corrupt("membership", "role", id, e))?;
        Ok((ApplicationId(ksuid(col(row, 0)?)), role))
    };
    Ok(User {
        id,
        organization: organization.parse().map_err(|e| corrupt("person", "org", id, e))?,
        email: col(row, 2)?,
        name: col(row, 3)?,
        password: col(row, 4)?,
        subject: issuer.zip(subject).map(|(issuer, subject)| Subject { issuer, subject }),
        operator: col(row, 7)?,
        disabled: col(row, 8)?,
        roles: all(conn, ROLES, [&id.0.0[..]], role)?.into_iter().collect(),
        created_at: Timestamp::from_micros(col(row, 9)?),
    })
}

fn create(conn: &Connection, new: &User) -> Result<(), StoreError> {
    execute(
        conn,
        "INSERT INTO person (id, org, email, name, password, issuer, subject, operator, disabled, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            &new.id.0.0[..],
            new.organization.as_str(),
            new.email,
            new.name,
            new.password,
            new.subject.as_ref().map(|s| &s.issuer),
            new.subject.as_ref().map(|s| &s.subject),
            new.operator,
            new.disabled,
            new.created_at.as_micros(),
        ],
    )
    .map_err(failed_or_taken)?;
    new.roles.iter().try_for_each(|(app, role)| set_role(conn, new.id, *app, Some(*role)))
}

fn set_role(conn: &Connection, id: UserId, app: ApplicationId, role: Option<Role>) -> Result<(), StoreError> {
    let (person, app) = (&id.0.0[..], &app.0.0[..]);
    match role {
        Some(role) => execute(
            conn,
            "INSERT INTO membership (person, app, role) VALUES (?1, ?2, ?3)
             ON CONFLICT (person, app) DO UPDATE SET role = ?3",
            params![person, app, role.text()],
        ),
        None => execute(conn, "DELETE FROM membership WHERE person = ?1 AND app = ?2", params![person, app]),
    }
    .map_err(failed)?;
    Ok(())
}

fn change(conn: &Connection, id: UserId, change: &UserChange) -> Result<(), StoreError> {
    let person = &id.0.0[..];
    let changed = match change {
        UserChange::Name(name) => execute(conn, "UPDATE person SET name = ?2 WHERE id = ?1", params![person, name]),
        UserChange::Password(hash) => {
            execute(conn, "UPDATE person SET password = ?2 WHERE id = ?1", params![person, hash])
        }
        UserChange::Subject(s) => execute(
            conn,
            "UPDATE person SET issuer = ?2, subject = ?3 WHERE id = ?1",
            params![person, s.issuer, s.subject],
        ),
        UserChange::Operator(on) => execute(conn, "UPDATE person SET operator = ?2 WHERE id = ?1", params![person, on]),
        UserChange::Disabled(on) => execute(conn, "UPDATE person SET disabled = ?2 WHERE id = ?1", params![person, on]),
        UserChange::Role(app, role) => {
            first(conn, BY_ID, [person], |_| Ok(()))?.ok_or(StoreError::NotFound)?;
            return set_role(conn, id, *app, *role);
        }
    };
    if changed.map_err(failed_or_taken)? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

fn invitation(row: &Row<'_>) -> Result<Invitation, StoreError> {
    let id = InvitationId(ksuid(col(row, 0)?));
    let organization: String = col(row, 1)?;
    let (app, role): (Option<[u8; 20]>, Option<String>) = (col(row, 2)?, col(row, 3)?);
    let grant = match app.zip(role) {
        Some((app, role)) => {
            Grant::In(ApplicationId(ksuid(app)), role.parse().map_err(|e| corrupt("invitation", "role", id, e))?)
        }
        None => Grant::Operator,
    };
    Ok(Invitation {
        id,
        organization: organization.parse().map_err(|e| corrupt("invitation", "org", id, e))?,
        grant,
        for_whom: col(row, 4)?,
        invited_by: col(row, 5)?,
        created_at: Timestamp::from_micros(col(row, 6)?),
        expires_at: Timestamp::from_micros(col(row, 7)?),
    })
}

fn use_up(conn: &Connection, hash: &KeyHash, now: Timestamp, guest: Guest) -> Result<Option<Invitation>, StoreError> {
    let found = first(conn, INVITATION, params![hash, now.as_micros()], invitation)?;
    let Some(invitation) = found else { return Ok(None) };
    let id = match guest {
        Guest::New(new) => {
            create(conn, &new)?;
            new.id
        }
        Guest::Existing(id) => id,
    };
    let grant = match invitation.grant {
        Grant::Operator => UserChange::Operator(true),
        Grant::In(app, role) => UserChange::Role(app, Some(role)),
    };
    change(conn, id, &grant)?;
    execute(conn, "DELETE FROM invitation WHERE hash = ?1", [hash]).map_err(failed)?;
    Ok(Some(invitation))
}

#[async_trait]
impl People for Sqlite {
    async fn create_user(&self, new: User) -> Result<(), StoreError> {
        self.write(move |tx| create(tx.conn, &new)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.read(move |conn| first(conn, BY_ID, [&id.0.0[..]], |row| user(conn, row))).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        let email = email.to_owned();
        self.read(move |conn| first(conn, BY_EMAIL, [email], |row| user(conn, row))).await
    }

    async fn user_by_subject(&self, subject: &Subject) -> Result<Option<User>, StoreError> {
        let s = subject.clone();
        self.read(move |conn| first(conn, BY_SUBJECT, [s.issuer, s.subject], |row| user(conn, row))).await
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        app: Option<ApplicationId>,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<User>, StoreError> {
        let organization = organization.clone();
        self.read(move |conn| {
            let way = Way::by_id(page);
            let (organization, rows) = (organization.as_str(), way.rows());
            let found = match (app, way.ascending) {
                (None, up) => {
                    let sql = if up { ASCENDING } else { DESCENDING };
                    all(conn, sql, params![organization, way.bound, rows], |row| user(conn, row))?
                }
                (Some(app), up) => {
                    let sql = if up { OF_APP_ASCENDING } else { OF_APP_DESCENDING };
                    all(conn, sql, params![organization, way.bound, rows, &app.0.0[..]], |row| user(conn, row))?
                }
            };
            Ok(way.cut(found))
        })
        .await
    }

    async fn change_user(&self, id: UserId, it: UserChange) -> Result<(), StoreError> {
        self.write(move |tx| change(tx.conn, id, &it)).await
    }

    async fn delete_user(&self, id: UserId) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let person = &id.0.0[..];
            execute(tx.conn, "DELETE FROM membership WHERE person = ?1", [person]).map_err(failed)?;
            execute(tx.conn, resets::REMOVE, [person]).map_err(failed)?;
            execute(tx.conn, "DELETE FROM session WHERE person = ?1 AND person IS NOT NULL", [person])
                .map_err(failed)?;
            Ok(execute(tx.conn, "DELETE FROM person WHERE id = ?1", [person]).map_err(failed)? > 0)
        })
        .await
    }

    async fn count_operators(&self, organization: &OrganizationId) -> Result<u64, StoreError> {
        let organization = organization.clone();
        self.read(move |conn| {
            let sql = "SELECT count(*) FROM person WHERE org = ?1 AND operator = 1 AND disabled = 0";
            let n: i64 = first(conn, sql, [organization.as_str()], |row| col(row, 0))?.unwrap_or(0);
            Ok(n.unsigned_abs())
        })
        .await
    }

    async fn create_invitation(&self, hash: KeyHash, new: Invitation) -> Result<(), StoreError> {
        self.write(move |tx| {
            let (app, role) = match new.grant {
                Grant::Operator => (None, None),
                Grant::In(app, role) => (Some(app.0.0.to_vec()), Some(role.text())),
            };
            execute(
                tx.conn,
                "INSERT INTO invitation (hash, id, org, app, role, for_whom, invited_by, created_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    hash,
                    &new.id.0.0[..],
                    new.organization.as_str(),
                    app,
                    role,
                    new.for_whom,
                    new.invited_by,
                    new.created_at.as_micros(),
                    new.expires_at.as_micros(),
                ],
            )
            .map_err(failed)?;
            Ok(())
        })
        .await
    }

    async fn invitation(&self, hash: KeyHash, now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        self.read(move |conn| first(conn, INVITATION, params![hash, now.as_micros()], invitation)).await
    }

    async fn invitations(
        &self,
        organization: &OrganizationId,
        app: Option<ApplicationId>,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, StoreError> {
        let organization = organization.clone();
        self.read(move |conn| {
            let app = app.map(|a| a.0.0.to_vec());
            all(conn, INVITATIONS, params![organization.as_str(), now.as_micros(), app], invitation)
        })
        .await
    }

    async fn use_invitation(
        &self,
        hash: KeyHash,
        now: Timestamp,
        guest: Guest,
    ) -> Result<Option<Invitation>, StoreError> {
        self.write(move |tx| use_up(tx.conn, &hash, now, guest)).await
    }

    async fn withdraw_invitation(&self, organization: &OrganizationId, id: InvitationId) -> Result<bool, StoreError> {
        let organization = organization.clone();
        self.write(move |tx| {
            let sql = "DELETE FROM invitation WHERE id = ?1 AND org = ?2";
            Ok(execute(tx.conn, sql, params![&id.0.0[..], organization.as_str()]).map_err(failed)? > 0)
        })
        .await
    }

    async fn begin_session(&self, new: Session) -> Result<(), StoreError> {
        self.write(move |tx| sessions::begin(tx.conn, &new)).await
    }

    async fn session(&self, hash: KeyHash) -> Result<Option<Session>, StoreError> {
        self.read(move |conn| sessions::one(conn, &hash)).await
    }

    async fn touch_session(&self, hash: KeyHash, seen: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| sessions::touch(tx.conn, &hash, seen)).await
    }

    async fn put_notice(&self, hash: KeyHash, notice: Option<Notice>) -> Result<(), StoreError> {
        self.write(move |tx| sessions::put_notice(tx.conn, &hash, notice.as_ref())).await
    }

    async fn end_session(&self, hash: KeyHash) -> Result<(), StoreError> {
        self.write(move |tx| sessions::end(tx.conn, &hash)).await
    }

    async fn end_sessions_of(&self, user: UserId, except: Option<KeyHash>) -> Result<u64, StoreError> {
        self.write(move |tx| sessions::end_of(tx.conn, user, except.as_ref())).await
    }

    async fn count_sessions_of(&self, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
        self.read(move |conn| sessions::count_of(conn, user, now)).await
    }

    async fn clear_ended(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.write(move |tx| sessions::clear(tx.conn, now, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::assert_indexed;

    #[test]
    fn people_are_found_by_index() {
        use super::*;
        let lists = [ASCENDING, DESCENDING, OF_APP_ASCENDING, OF_APP_DESCENDING];
        for sql in [BY_ID, BY_EMAIL, BY_SUBJECT, ROLES, INVITATION, INVITATIONS].iter().chain(&lists) {
            assert_indexed(sql);
        }
    }
}
