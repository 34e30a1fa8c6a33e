import * as z from 'zod'
import {
  ChangePassword,
  CookieLogin,
  CreateToken,
  CreateUser,
  ListTokens,
  ListUsers,
  LoginAnswer,
  LoginRequest,
  LogoutRequest,
  Me,
  PageStart,
  PatchUser,
  TenantAdmins,
  TokenCreated,
  TokenList,
  UserCreated,
  UserList,
  UserView,
} from '../account-api.ts'
import { ChannelCreated, ChannelList, ChannelTested, CreateChannel } from '../channels.ts'
import { ListSecrets, PutSecret, SecretAddress, SecretList, SecretName, StoredSecret } from '../secrets.ts'
import { nothing, routeTable } from './route.ts'

const tag = 'accounts'
const params = z.object({ id: z.string() })

export const secretRoutes = routeTable({
  'GET /api/secrets': {
    who: 'user',
    tag: 'secrets',
    summary: 'List the secrets of the tenant and your own; for an admin, all. Values are never returned',
    query: ListSecrets,
    answers: { 200: SecretList },
  },
  'PUT /api/secrets/:name': {
    who: 'user',
    makes: 'secrets',
    tag: 'secrets',
    summary: 'Store a secret; an existing one is replaced',
    params: SecretName,
    body: PutSecret,
    answers: { 200: StoredSecret, 201: StoredSecret },
  },
  'DELETE /api/secrets/:name': {
    who: 'user',
    makes: 'secrets',
    tag: 'secrets',
    summary: 'Delete a secret, with immediate effect',
    params: SecretName,
    query: SecretAddress,
    answers: { 204: nothing },
  },
})

export const accountRoutes = routeTable({
  'POST /api/auth/login': {
    who: 'anyone',
    tag,
    summary:
      'Exchange a user name and password for a token that is valid for 12 hours, or for a cookie (201)',
    body: LoginRequest,
    answers: { 200: LoginAnswer, 201: CookieLogin },
  },
  'POST /api/auth/logout': {
    who: 'user',
    tag,
    summary: 'End the current session, or all sessions of its user, with immediate effect',
    body: LogoutRequest,
    answers: { 204: nothing },
  },
  'POST /api/auth/password': {
    who: 'user',
    tag,
    summary:
      'Change your password. This ends all your sessions and returns a new one, as a cookie (201) if the request came with one',
    body: ChangePassword,
    answers: { 200: LoginAnswer, 201: CookieLogin },
  },
  'GET /api/auth/me': {
    who: 'user',
    tag,
    summary: 'Who this token acts as, and until when',
    answers: { 200: Me },
  },
  'GET /api/me': {
    who: 'user',
    tag,
    summary: "The same, with the hub's version and time, and the CSRF value for requests with a cookie",
    answers: { 200: PageStart },
  },
  'GET /api/me/admins': {
    who: 'user',
    tag,
    summary: 'The names of the admins of your tenant, whom you can ask about what you may not see',
    answers: { 200: TenantAdmins },
  },
  'GET /api/tokens': {
    who: 'user',
    tag,
    summary: 'List your tokens; for an admin, all',
    query: ListTokens,
    answers: { 200: TokenList },
  },
  'POST /api/tokens': {
    who: 'user',
    makes: 'tokens',
    tag,
    summary:
      'Create a token; its text is shown only this once. Only admins can create tokens other than API tokens',
    body: CreateToken,
    answers: { 201: TokenCreated },
  },
  'DELETE /api/tokens/:id': {
    who: 'user',
    tag,
    summary: 'Revoke a token, with immediate effect',
    params,
    answers: { 204: nothing },
  },
  'GET /api/users': {
    who: 'admin',
    tag,
    summary: 'List the users (admin)',
    query: ListUsers,
    answers: { 200: UserList },
  },
  'POST /api/users': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'Create a user (admin)',
    body: CreateUser,
    answers: { 201: UserCreated },
  },
  'PATCH /api/users/:id': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'Reset the password of a user, change the role, or disable the user (admin)',
    params,
    body: PatchUser,
    answers: { 200: UserView },
  },
  'POST /api/users/:id/logout': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'End all sessions of a user; API tokens stay valid (admin)',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 204: nothing },
  },
  'DELETE /api/users/:id': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'Remove a user and their tokens (admin)',
    params,
    answers: { 204: nothing },
  },
})

export const channelRoutes = routeTable({
  'GET /api/me/channels': {
    who: 'user',
    tag,
    summary: 'Where you are notified of questions and failures, without the secrets',
    answers: { 200: ChannelList },
  },
  'POST /api/me/channels': {
    who: 'user',
    makes: 'secrets',
    tag,
    summary: 'Add a notification channel: a webhook, an ntfy topic or an e-mail address',
    body: CreateChannel,
    answers: { 201: ChannelCreated },
  },
  'POST /api/me/channels/:id/test': {
    who: 'user',
    tag,
    summary: 'Send a test notice there now',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 200: ChannelTested },
  },
  'DELETE /api/me/channels/:id': {
    who: 'user',
    tag,
    summary: 'Remove a notification channel and its unsent notices',
    params,
    answers: { 204: nothing },
  },
})
