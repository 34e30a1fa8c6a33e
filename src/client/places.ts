import type { CreatePlaceInput, PlaceCreated, PlaceList } from '../contract/places.ts'
import type { HubHttp } from './http.ts'

/** Manages the places at which the caller is notified. */
export class PlacesClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(): Promise<PlaceList> {
    return this.#http.json('GET /api/me/places')
  }

  /**
   * Adds a place. The answer shows its `secret` only this once. Throws `quota_exceeded`, `unavailable` for mail that
   * the hub cannot send.
   */
  add(place: CreatePlaceInput): Promise<PlaceCreated> {
    return this.#http.json('POST /api/me/places', { body: place })
  }

  /** Sends a test and waits for it. Throws `host_unreachable`, `host_refused`, `rate_limited`. */
  async test(id: string): Promise<void> {
    await this.#http.json('POST /api/me/places/:id/test', { params: { id }, body: {} })
  }

  remove(id: string): Promise<void> {
    return this.#http.done('DELETE /api/me/places/:id', { params: { id } })
  }
}
