import * as z from 'zod'
import { PlainName } from './plain-name.ts'

/** Requests and answers of `/api/users` and `/api/auth/login`. */

const time = z.string().describe('RFC 3339, UTC')

export const UserRole = z.enum(['admin', 'user'])
export type UserRole = z.infer<typeof UserRole>

/** A user's name as a run's `owner` shows it; unique in a tenant. */
export const UserName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/,
    'a user name is 1-64 letters, digits, ".", "_", "@" or "-", and starts with a letter or digit',
  )
export const Password = z
  .string()
  .min(8, 'a password must have at least 8 characters')
  .max(256, 'a password must have at most 256 characters')

export const UserView = z.object({
  id: z.string(),
  name: z.string(),
  role: UserRole,
  tenant: z.string(),
  disabled: z.boolean(),
  created_at: time,
})
export type UserView = z.infer<typeof UserView>
export const UserCreated = UserView.extend({ warnings: z.array(z.string()) })
export type UserCreated = z.infer<typeof UserCreated>
export const ListUsers = z.strictObject({
  name: z.string().optional(),
  role: UserRole.optional(),
  status: z.enum(['active', 'disabled']).optional(),
})
export type ListUsers = z.infer<typeof ListUsers>
export const UserList = z.object({ users: z.array(UserView), next_cursor: z.string().optional() })
export type UserList = z.infer<typeof UserList>

/** The name of a tenant. Users, runs, runners and secrets of one tenant are invisible to another. */
export const TenantName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'a tenant name is at most 63 letters, digits, ".", "_" or "-", and starts with a letter or digit',
  )
export const CreateUser = z.strictObject({
  name: UserName,
  password: Password,
  role: UserRole.default('user'),
  tenant: TenantName.optional().describe(
    "Default: the caller's tenant. Only admins of the tenant `default` may name another one; its first user creates it",
  ),
})
export type CreateUserInput = z.input<typeof CreateUser>
export const PatchUser = z
  .strictObject({
    password: Password.optional().describe('New password; it ends every session of the user'),
    role: UserRole.optional(),
    disabled: z.boolean().optional().describe('A disabled user cannot log in, and its tokens are refused'),
  })
  .refine((patch) => Object.values(patch).some((value) => value !== undefined), 'no change is given')
export type PatchUser = z.infer<typeof PatchUser>

export const LoginRequest = z.strictObject({
  username: z.string().min(1).max(256).describe('`NAME`, or `TENANT/NAME` for a tenant other than `default`'),
  password: z.string().min(1).max(1024),
  cookie: z
    .boolean()
    .default(false)
    .describe('Put the session into a cookie that scripts cannot read, for the dashboard'),
})
export type LoginRequest = z.infer<typeof LoginRequest>
export const ChangePassword = z.strictObject({
  current_password: z.string().min(1).max(1024),
  new_password: Password,
})
export type ChangePassword = z.infer<typeof ChangePassword>
export const LoginAnswer = z.object({
  token: z.string(),
  expires_at: time,
  access_token: z.string().describe('The same token, under the name that OAuth and the agent API use'),
  token_type: z.literal('Bearer'),
  expires_in: z.number().int().describe('Seconds'),
  user: UserView.extend({ username: z.string().describe('Same as `name`') }),
})
export type LoginAnswer = z.infer<typeof LoginAnswer>

const csrf = z
  .string()
  .describe('Send it in `x-errand-csrf` with each request that uses the cookie and changes something')
/** The answer to a login whose session is in the cookie `errand_session`. */
export const CookieLogin = z.object({ user: UserView, expires_at: time, csrf })
export type CookieLogin = z.infer<typeof CookieLogin>

export const LogoutRequest = z
  .strictObject({
    everywhere: z.boolean().default(false).describe('End all sessions of the user; API tokens stay valid'),
  })
  .prefault({})

/** `GET /api/auth/me` */
export const Me = UserView.extend({
  expires_at: time.optional().describe('When the token of this request expires; absent if it never does'),
})
export type Me = z.infer<typeof Me>
/** `GET /api/me`: the data that the dashboard starts with. */
export const PageStart = Me.extend({
  csrf: csrf.optional().describe('As in the answer to the login; only for a session'),
  version: z.string().describe('Version of the hub'),
  now: time.describe('Time on the hub'),
})
export type PageStart = z.infer<typeof PageStart>

/** `GET /api/me/admins`: the admins whom a user may contact. */
export const TenantAdmins = z.object({
  tenant: z.string(),
  admins: z.array(z.string()).describe('Names of the admins, at most 10'),
  more: z.boolean().describe('Whether there are more'),
})
export type TenantAdmins = z.infer<typeof TenantAdmins>

/** Requests and answers of `/api/tokens`. */

const TokenScope = z.enum(['api', 'runner', 'enroll', 'metrics'])
/** Kinds of things that outlive a request: a token creates or changes them only if it was made with that permission. */
export const Permission = z.enum(['tokens', 'users', 'secrets'])
export type Permission = z.infer<typeof Permission>
/** Default lifetime of an API token, in seconds. */
export const API_TOKEN_SECONDS = 90 * 86_400

export const CreateToken = z.strictObject({
  name: PlainName,
  scope: TokenScope.exclude(['enroll'])
    .default('api')
    .describe(
      '`api`: acts as its user. `runner`: only opens the runner link. `metrics`: only reads `/metrics`',
    ),
  expires_in_seconds: z
    .number()
    .int()
    .min(1)
    .max(315_360_000)
    .nullish()
    .describe(
      '`null`: the token does not expire. Default: 90 days for the scope `api`, `null` for the others. A token that another token creates expires no later than that one',
    ),
  group: PlainName.optional().describe('The only runner group that a `runner` token may serve'),
  allow: z
    .array(Permission)
    .max(3)
    .default([])
    .describe(
      'What an `api` token may create and change; default: nothing. A token cannot grant a permission that it does not have',
    ),
})
export type CreateTokenInput = z.input<typeof CreateToken>
export const TokenStatus = z.enum(['good', 'used', 'expired', 'revoked'])
export type TokenStatus = z.infer<typeof TokenStatus>
export const ListTokens = z.strictObject({
  name: z.string().optional(),
  scope: TokenScope.optional(),
  status: TokenStatus.optional(),
  user: z.string().optional().describe('Name of the user that the token acts as'),
})
export type ListTokens = z.infer<typeof ListTokens>
export const TokenView = z.object({
  id: z.string(),
  name: z.string(),
  scope: TokenScope,
  status: TokenStatus.describe('`used`: an `enroll` token that was exchanged'),
  user: z
    .string()
    .describe("Name of the user that the token acts as; for a runner's own token, who enrolled the runner"),
  group: z.string().optional(),
  allow: z.array(Permission).optional().describe('What the token may create and change'),
  made_by: z.string().optional().describe('Id of the token that created it; both end together'),
  runner_id: z.string().optional().describe('The only runner that it is for, or the runner that it enrolled'),
  created_at: time,
  last_used_at: time.optional(),
  used_at: time.optional().describe('When an `enroll` token was exchanged'),
  expires_at: time.optional(),
  revoked_at: time.optional(),
})
export type TokenView = z.infer<typeof TokenView>
export const TokenList = z.object({ tokens: z.array(TokenView), next_cursor: z.string().optional() })
export type TokenList = z.infer<typeof TokenList>
export const TokenCreated = TokenView.extend({ token: z.string().describe('Shown only this once') })
export type TokenCreated = z.infer<typeof TokenCreated>
