import type {
  ChangePassword,
  CreateUserInput,
  ListUsers,
  LoginAnswer,
  Me,
  PatchUser,
  UserCreated,
  UserList,
  UserView,
} from '../contract/account-api.ts'
import type { CreateTokenInput, ListTokens, TokenCreated, TokenList } from '../contract/token-api.ts'
import type { HubHttp } from './http.ts'

export class AuthClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** The token of the answer is for a new client; this one stays as it is. */
  login(username: string, password: string): Promise<LoginAnswer> {
    return this.#http.json('POST /api/auth/login', { body: { username, password } })
  }

  /** Ends the session of this client. */
  logout(): Promise<void> {
    return this.#http.done('POST /api/auth/logout')
  }

  /** Ends all sessions of the user; the token of the answer is a new one. */
  changePassword(passwords: ChangePassword): Promise<LoginAnswer> {
    return this.#http.json('POST /api/auth/password', { body: passwords })
  }

  me(): Promise<Me> {
    return this.#http.json('GET /api/auth/me')
  }
}

export class TokensClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(filter: ListTokens = {}): Promise<TokenList> {
    return this.#http.json('GET /api/tokens', { query: filter })
  }

  create(token: CreateTokenInput): Promise<TokenCreated> {
    return this.#http.json('POST /api/tokens', { body: token })
  }

  revoke(id: string): Promise<void> {
    return this.#http.done('DELETE /api/tokens/:id', { params: { id } })
  }
}

export class UsersClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(filter: ListUsers = {}): Promise<UserList> {
    return this.#http.json('GET /api/users', { query: filter })
  }

  create(user: CreateUserInput): Promise<UserCreated> {
    return this.#http.json('POST /api/users', { body: user })
  }

  update(id: string, patch: PatchUser): Promise<UserView> {
    return this.#http.json('PATCH /api/users/:id', { params: { id }, body: patch })
  }

  remove(id: string): Promise<void> {
    return this.#http.done('DELETE /api/users/:id', { params: { id } })
  }
}
