import type { ListSecrets, PutSecret, SecretAddress, SecretKept, SecretList } from '../contract/secrets.ts'
import type { HubHttp } from './http.ts'

export class SecretsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** Never with their values. */
  list(filter: ListSecrets = {}): Promise<SecretList> {
    return this.#http.json('GET /api/secrets', { query: filter })
  }

  /** Keeps it, in the place of the one that is there. Without a repository or workflow it is for all runs. */
  set(name: string, secret: PutSecret): Promise<SecretKept> {
    return this.#http.json('PUT /api/secrets/:name', { params: { name }, body: secret })
  }

  remove(name: string, address: SecretAddress = {}): Promise<void> {
    return this.#http.done('DELETE /api/secrets/:name', { params: { name }, query: address })
  }
}
