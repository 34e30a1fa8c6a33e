import * as z from 'zod'

/** Requests and answers of `/api/users` and `/api/auth/login`. */

export const time = z.string().describe('RFC 3339, UTC')

export const UserRole = z.enum(['admin', 'user'])
export type UserRole = z.infer<typeof UserRole>

/** As a run's `owner` shows it; unique in a tenant. */
export const UserName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, 'a user name is 1-64 letters, digits, ".", "_", "@" or "-"')
export const Password = z
  .string()
  .min(8, 'a password has at least 8 characters')
  .max(256, 'a password has at most 256 characters')

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

/** Users, runs, runners and secrets of one tenant are not there for another. */
export const TenantName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a tenant is letters, digits, ".", "_" and "-", at most 63')
export const CreateUser = z.strictObject({
  name: UserName,
  password: Password,
  role: UserRole.default('user'),
  tenant: TenantName.optional().describe(
    "Default: the caller's. Another one, made with its first user, is for admins of the tenant `default` to name",
  ),
})
export type CreateUserInput = z.input<typeof CreateUser>
export const PatchUser = z
  .strictObject({
    password: Password.optional().describe('Ends every session of the user'),
    role: UserRole.optional(),
    disabled: z.boolean().optional().describe('A disabled user cannot log in, and its tokens are refused'),
  })
  .refine((patch) => Object.values(patch).some((value) => value !== undefined), 'nothing to change is given')
export type PatchUser = z.infer<typeof PatchUser>

export const LoginRequest = z.strictObject({
  username: z.string().min(1).max(256).describe('`NAME`; of another tenant than `default`, `TENANT/NAME`'),
  password: z.string().min(1).max(1024),
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
  access_token: z.string().describe('The same token, as OAuth and the agent API call it'),
  token_type: z.literal('Bearer'),
  expires_in: z.number().int().describe('Seconds'),
  user: UserView.extend({ username: z.string().describe('As `name`') }),
})
export type LoginAnswer = z.infer<typeof LoginAnswer>

/** `GET /api/auth/me` */
export const Me = UserView.extend({
  expires_at: time.optional().describe('When the token that was sent is good no more; absent: never'),
})
export type Me = z.infer<typeof Me>
