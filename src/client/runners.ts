import type { ChangePool, PoolView } from '../contract/fleet/provisioning.ts'
import type { ListGroups, ListWaits, RunnerGroup, RunnerWait } from '../contract/fleet/runner-groups.ts'
import type {
  CreateEnrollmentInput,
  EnrollmentCreated,
  EnrollRunner,
  RunnerEnrolled,
} from '../contract/protocol.ts'
import type { ListedRunner, RunnerDetail, RunnersQuery } from '../contract/runner-api.ts'
import type { HubHttp } from './http.ts'

/** Manages runners, their groups, and the work that waits for them. */
export class RunnersClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(query: RunnersQuery = {}): Promise<ListedRunner[]> {
    return this.#http.json('GET /api/runners', { query })
  }

  /** Returns the work that waits for a runner, by group. */
  async waits(query: ListWaits = {}): Promise<RunnerWait[]> {
    return (await this.#http.json('GET /api/runner-waits', { query })).waits
  }

  async groups(query: ListGroups = {}): Promise<RunnerGroup[]> {
    return (await this.#http.json('GET /api/runner-groups', { query })).groups
  }

  makeGroup(name: string): Promise<RunnerGroup> {
    return this.#http.json('POST /api/runner-groups', { body: { name } })
  }

  renameGroup(from: string, name: string): Promise<RunnerGroup> {
    return this.#http.json('PATCH /api/runner-groups/:name', { params: { name: from }, body: { name } })
  }

  deleteGroup(name: string): Promise<void> {
    return this.#http.done('DELETE /api/runner-groups/:name', { params: { name } })
  }

  /** Overrides the file's settings for the group's provisioned runners; `null` restores the file's. */
  changePool(name: string, change: ChangePool): Promise<PoolView> {
    return this.#http.json('PATCH /api/runner-groups/:name/pool', { params: { name }, body: change })
  }

  /** Removes the group's provisioned runners, those at work only with `working`. Returns how many. */
  async emptyPool(name: string, { working }: { working?: boolean } = {}): Promise<number> {
    const body = { working }
    return (await this.#http.json('POST /api/runner-groups/:name/empty', { params: { name }, body })).removed
  }

  /** Returns a runner with its present work. */
  get(id: string): Promise<RunnerDetail> {
    return this.#http.json('GET /api/runners/:id', { params: { id } })
  }

  /** Creates a token with which one machine becomes a runner. */
  createEnrollment(input: CreateEnrollmentInput = {}): Promise<EnrollmentCreated> {
    return this.#http.json('POST /api/runners/enrollments', { body: input })
  }

  /** Exchanges such a token for the runner's own; needs no other. */
  enroll(request: EnrollRunner): Promise<RunnerEnrolled> {
    return this.#http.json('POST /api/runners/enroll', { body: request })
  }

  /** Makes the runner take nothing new and finish what it has, until it is resumed. */
  drain(id: string): Promise<void> {
    return this.#http.done('POST /api/runners/:id/drain', { params: { id }, body: {} })
  }

  resume(id: string): Promise<void> {
    return this.#http.done('POST /api/runners/:id/resume', { params: { id }, body: {} })
  }

  /** Forgets a runner and revokes its own token. A connected runner needs `force`, and loses what it has. */
  remove(id: string, { force }: { force?: boolean } = {}): Promise<void> {
    return this.#http.done('DELETE /api/runners/:id', { params: { id }, query: { force } })
  }
}
