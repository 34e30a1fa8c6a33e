import type { UserView } from '../../contract/account-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import { newId } from '../auth/account-id.ts'
import type { Identity } from '../auth/auth.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import type { User } from '../store/accounts.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export const userView = ({ id, name, role, tenant, disabled, created_at }: User): UserView => ({
  id,
  name,
  role,
  tenant,
  disabled,
  created_at,
})

export function userHandlers({ accounts, auth, bots, engine, secrets, ownRunner }: ApiContext) {
  return {
    'GET /api/users': async ({ identity, query: { name, role, status } }) => {
      const all = (await accounts.users({ tenant: identity.user.tenant })).map(userView)
      const fits = (user: UserView): boolean =>
        (name ?? user.name) === user.name &&
        (role ?? user.role) === user.role &&
        (status === undefined || (status === 'disabled') === user.disabled)
      return { users: all.filter(fits) }
    },

    'POST /api/users': async ({ identity, body }) => {
      const { tenant = identity.user.tenant } = body
      if (tenant !== identity.user.tenant && identity.user.tenant !== DEFAULT_TENANT)
        throw new ErrandError(
          'forbidden',
          `Users of another tenant are for admins of the tenant "${DEFAULT_TENANT}" to make.`,
          { hint: 'Ask one of them.' },
        )
      // Runs name their owner: whoever has the name sees them.
      if ((await engine.list({ owner: body.name, tenant, limit: 1 })).runs.length > 0)
        if ((await accounts.userByName({ tenant, name: body.name })) === undefined)
          throw new ErrandError(
            'conflict',
            `The name "${body.name}" belonged to someone who still has runs here.`,
            {
              hint: 'Take another name, so that the new user does not see them.',
            },
          )
      const user: User = {
        id: newId('user'),
        name: body.name,
        role: body.role,
        tenant,
        password_hash: await auth.passwords.hash(body.password),
        created_at: new Date().toISOString(),
        disabled: false,
      }
      await accounts.createUser(user)
      return { ...userView(user), warnings: ownRunner ? separationWarnings(user) : [] }
    },

    'PATCH /api/users/:id': async ({ identity, params, body }) => {
      const user = await sameTenant(identity, params.id)
      if (body.disabled === true || body.role === 'user') notYourself(identity, user)
      const { password, ...rest } = body
      const patch =
        password === undefined ? rest : { ...rest, password_hash: await auth.passwords.hash(password) }
      const changed = await accounts.updateUser(user.id, patch)
      auth.changed()
      return userView(changed)
    },

    'DELETE /api/users/:id': async ({ identity, params }) => {
      const user = await sameTenant(identity, params.id)
      notYourself(identity, user)
      const { tenant, name: owner } = user
      const { data } = await bots.data.list({ tenant, owner })
      if (data.length > 0)
        // They are kept by name: whoever has it next would have them.
        throw new ErrandError(
          'conflict',
          `The user "${owner}" has data of bots: ${data.map(({ bot_id }) => bot_id).join(', ')}.`,
          {
            hint: `Take out what is still needed, and remove them: errand bot data remove ${data[0]!.bot_id} --owner ${owner}`,
            details: { bots: data.map(({ bot_id }) => bot_id) },
          },
        )
      await accounts.deleteUser(user.id)
      await secrets.dropOfUser({ tenant: user.tenant, owner: user.name })
      auth.changed()
    },
  } satisfies Partial<Handlers>

  async function sameTenant(identity: Identity, id: string): Promise<User> {
    const user = await accounts.user(id)
    if (user === undefined || user.tenant !== identity.user.tenant)
      throw new ErrandError('not_found', `There is no user with the id "${id}".`, {
        hint: 'List them with: errand users list',
      })
    return user
  }
}

/** The hub's own runner is of the first tenant. */
const separationWarnings = ({ name, role, tenant }: User): string[] =>
  role === 'admin' || tenant !== DEFAULT_TENANT
    ? []
    : [
        `Steps and agents of "${name}" can read this hub's files, its admin token among them: the hub's own runner carries them out as the hub's user. With users that you trust less than an admin start it with --no-runner, and runners as another user or on other machines.`,
      ]

/** So that there is always an admin left. */
function notYourself(identity: Identity, user: User): void {
  if (user.id === identity.user.id)
    throw new ErrandError('conflict', 'You cannot take your own access away.', {
      hint: 'Let another admin do it.',
    })
}
