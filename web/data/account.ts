import { queryOptions } from '@tanstack/react-query'
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
import type { ChannelCreated, ChannelList, CreateChannelInput } from '../../src/contract/channels.ts'
import type { HubFacts } from '../../src/contract/hub-api.ts'
import type { PutSecret, SecretAddress, SecretList, StoredSecret } from '../../src/contract/secrets.ts'
import { ask } from './api.ts'

const of = (kind: string, id: string) => `/api/${kind}/${encodeURIComponent(id)}`

export const listChannels = (signal?: AbortSignal) => ask<ChannelList>('GET', '/api/me/channels', { signal })
export const addChannel = (body: CreateChannelInput, idempotencyKey: string) =>
  ask<ChannelCreated>('POST', '/api/me/channels', { body, idempotencyKey })
export const testChannel = (id: string) => ask('POST', `${of('me/channels', id)}/test`, { body: {} })
export const removeChannel = (id: string) => ask('DELETE', of('me/channels', id))

export const changePassword = (current_password: string, new_password: string) =>
  ask('POST', '/api/auth/password', { body: { current_password, new_password } })

export const listTokens = (signal?: AbortSignal) => ask<TokenList>('GET', '/api/tokens', { signal })
export const createToken = (body: CreateTokenInput, idempotencyKey: string) =>
  ask<TokenCreated>('POST', '/api/tokens', { body, idempotencyKey })
export const revokeToken = (id: string) => ask('DELETE', of('tokens', id))

export const listUsers = (signal?: AbortSignal) => ask<UserList>('GET', '/api/users', { signal })
export const addUser = (body: CreateUserInput, idempotencyKey: string) =>
  ask<UserCreated>('POST', '/api/users', { body, idempotencyKey })
export const logOutUser = (id: string) => ask('POST', `${of('users', id)}/logout`, { body: {} })
export const removeUser = (id: string) => ask('DELETE', of('users', id))
export const hubFactsQuery = queryOptions({
  queryKey: ['hub'],
  queryFn: ({ signal }) => ask<HubFacts>('GET', '/api/hub', { signal }),
  staleTime: 0,
})

export const listSecrets = (signal?: AbortSignal) => ask<SecretList>('GET', '/api/secrets', { signal })
export const putSecret = (name: string, body: PutSecret) =>
  ask<StoredSecret>('PUT', of('secrets', name), { body })
export const deleteSecret = (name: string, query: SecretAddress) =>
  ask('DELETE', of('secrets', name), { query })

/** Returns a random password: 20 letters and digits, none of which is easily mistaken for another. */
export function newPassword(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
  const bytes = crypto.getRandomValues(new Uint32Array(20))
  return Array.from(bytes, (byte) => letters[byte % letters.length]).join('')
}

export const changeUser = (id: string, body: PatchUser) => ask<UserView>('PATCH', of('users', id), { body })
