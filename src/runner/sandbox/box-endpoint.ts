import type { Network } from '../../contract/isolation.ts'
import type { LogSince } from '../proxy/endpoint-log.ts'
import type { EndpointAddress, ProxySupervisor } from '../proxy/proxy-supervisor.ts'
import type { EndpointRules, ModelRule } from '../proxy/rules.ts'

/** Describes what an attempt requests from its endpoint, besides its network. */
export interface EndpointRequest {
  models?: readonly ModelRule[]
  budget?: EndpointRules['budget']
}

export interface BoxEndpointOptions {
  /** Opens endpoints; if absent, none is ever opened. */
  supervisor?: ProxySupervisor
  /** Key of the attempt, unique on this machine. */
  key: string
  network: Network
  /** Folder of the attempt, to which the endpoint belongs. */
  folder: string
}

/** Opens the only way out of a box of any kind. There is none if the network is `none` and the box has no models. */
export class BoxEndpoint {
  readonly #options: BoxEndpointOptions
  readonly #id: string
  #open: EndpointAddress | undefined

  constructor(options: BoxEndpointOptions) {
    this.#options = options
    this.#id = options.key.replace(/[^\w-]/g, '-')
  }

  /** ProxyEndpoint opened by `prepare`; undefined if there is none. */
  get open(): EndpointAddress | undefined {
    return this.#open
  }

  /** Opens the endpoint, or gives an open one these rules. Throws `unavailable`. */
  async prepare({ models = [], budget = {} }: EndpointRequest = {}): Promise<void> {
    const { supervisor, network, folder } = this.#options
    if (!supervisor || network === 'none' || (network === 'models' && models.length === 0)) return
    this.#open = await supervisor.open(this.#id, { network, models: [...models], budget }, folder)
  }

  logSince(offset: number): LogSince {
    return this.#options.supervisor?.logSince(this.#id, offset) ?? { lines: [], offset }
  }

  async close(): Promise<void> {
    await this.#options.supervisor?.close(this.#id)
  }

  async remove(): Promise<void> {
    await this.#options.supervisor?.remove(this.#id)
  }
}
