import type {
  CreateTokenInput,
  CreateUserInput,
  PatchUser,
  TokenCreated,
  TokenList,
  UserCreated,
  UserList,
  UserView,
} from '../../src/contract/account-api.ts'
import type { CreatePlaceInput, PlaceCreated, PlaceList } from '../../src/contract/places.ts'
import { ask } from './api.ts'

const of = (kind: string, id: string) => `/api/${kind}/${encodeURIComponent(id)}`

export const listPlaces = (signal?: AbortSignal) => ask<PlaceList>('GET', '/api/me/places', { signal })
export const addPlace = (body: CreatePlaceInput, idempotencyKey: string) =>
  ask<PlaceCreated>('POST', '/api/me/places', { body, idempotencyKey })
export const testPlace = (id: string) => ask('POST', `${of('me/places', id)}/test`, { body: {} })
export const removePlace = (id: string) => ask('DELETE', of('me/places', id))

export const changePassword = (current_password: string, new_password: string) =>
  ask('POST', '/api/auth/password', { body: { current_password, new_password } })

export const listTokens = (signal?: AbortSignal) => ask<TokenList>('GET', '/api/tokens', { signal })
export const createToken = (body: CreateTokenInput, idempotencyKey: string) =>
  ask<TokenCreated>('POST', '/api/tokens', { body, idempotencyKey })
export const revokeToken = (id: string) => ask('DELETE', of('tokens', id))

export const listUsers = (signal?: AbortSignal) => ask<UserList>('GET', '/api/users', { signal })
export const addUser = (body: CreateUserInput, idempotencyKey: string) =>
  ask<UserCreated>('POST', '/api/users', { body, idempotencyKey })
export const changeUser = (id: string, body: PatchUser) => ask<UserView>('PATCH', of('users', id), { body })
