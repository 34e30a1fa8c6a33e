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
import { CreatePlace, PlaceCreated, PlaceList, PlaceTested } from '../places.ts'
import { ListSecrets, PutSecret, SecretAddress, SecretKept, SecretList, SecretName } from '../secrets.ts'
import { nothing, routeTable } from './route.ts'

const tag = 'accounts'
const params = z.object({ id: z.string() })

export const secretRoutes = routeTable({
  'GET /api/secrets': {
    who: 'user',
    tag: 'secrets',
    summary: 'The secrets of the tenant, and your own; for an admin, all. Never their values',
    query: ListSecrets,
    answers: { 200: SecretList },
  },
  'PUT /api/secrets/:name': {
    who: 'user',
    makes: 'secrets',
    tag: 'secrets',
    summary: 'Keep a secret, in the place of the one that is there',
    params: SecretName,
    body: PutSecret,
    answers: { 200: SecretKept, 201: SecretKept },
  },
  'DELETE /api/secrets/:name': {
    who: 'user',
    makes: 'secrets',
    tag: 'secrets',
    summary: 'Delete a secret, at once',
    params: SecretName,
    query: SecretAddress,
    answers: { 204: nothing },
  },
})

export const accountRoutes = routeTable({
  'POST /api/auth/login': {
    who: 'anyone',
    tag,
    summary: 'User name and password to a token for 12 hours, or to a cookie (201)',
    body: LoginRequest,
    answers: { 200: LoginAnswer, 201: CookieLogin },
  },
  'POST /api/auth/logout': {
    who: 'user',
    tag,
    summary: 'End the session that is sent, at once, or all of its user',
    body: LogoutRequest,
    answers: { 204: nothing },
  },
  'POST /api/auth/password': {
    who: 'user',
    tag,
    summary:
      'Change your password: ends all your sessions, and answers a new one, by cookie (201) where it came by one',
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
    summary: "The same, with the hub's version and time, and what requests by cookie carry",
    answers: { 200: PageStart },
  },
  'GET /api/me/admins': {
    who: 'user',
    tag,
    summary: 'The admins of your tenant, by name: whom to ask for what you may not see',
    answers: { 200: TenantAdmins },
  },
  'GET /api/tokens': {
    who: 'user',
    tag,
    summary: 'Your tokens; for an admin, all',
    query: ListTokens,
    answers: { 200: TokenList },
  },
  'POST /api/tokens': {
    who: 'user',
    makes: 'tokens',
    tag,
    summary: 'A new token; its text is shown this once. Others than API tokens are for admins to make',
    body: CreateToken,
    answers: { 201: TokenCreated },
  },
  'DELETE /api/tokens/:id': {
    who: 'user',
    tag,
    summary: 'Revoke a token, at once',
    params,
    answers: { 204: nothing },
  },
  'GET /api/users': {
    who: 'admin',
    tag,
    summary: 'The users (admin)',
    query: ListUsers,
    answers: { 200: UserList },
  },
  'POST /api/users': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'A new user (admin)',
    body: CreateUser,
    answers: { 201: UserCreated },
  },
  'PATCH /api/users/:id': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'Reset a password, change the role, disable (admin)',
    params,
    body: PatchUser,
    answers: { 200: UserView },
  },
  'POST /api/users/:id/logout': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'End all sessions of a user; API tokens go on (admin)',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 204: nothing },
  },
  'DELETE /api/users/:id': {
    who: 'admin',
    makes: 'users',
    tag,
    summary: 'Remove a user with its tokens (admin)',
    params,
    answers: { 204: nothing },
  },
})

export const placeRoutes = routeTable({
  'GET /api/me/places': {
    who: 'user',
    tag,
    summary: 'Where you are told of questions and failures; never their secrets',
    answers: { 200: PlaceList },
  },
  'POST /api/me/places': {
    who: 'user',
    makes: 'secrets',
    tag,
    summary: 'A new place: a webhook, a topic of ntfy, an e-mail address',
    body: CreatePlace,
    answers: { 201: PlaceCreated },
  },
  'POST /api/me/places/:id/test': {
    who: 'user',
    tag,
    summary: 'Send a test there, now',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 200: PlaceTested },
  },
  'DELETE /api/me/places/:id': {
    who: 'user',
    tag,
    summary: 'Remove a place, with what it was still to be sent',
    params,
    answers: { 204: nothing },
  },
})
