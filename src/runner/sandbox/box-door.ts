import type { Network } from '../../contract/isolation.ts'
import type { Doors, OpenDoor } from '../proxy/doors.ts'
import type { DoorRules, ModelRule } from '../proxy/rules.ts'
import type { ToldSince } from '../proxy/telling.ts'

/** Describes what an attempt requests from its door, besides its network. */
export interface DoorAsked {
  models?: readonly ModelRule[]
  budget?: DoorRules['budget']
}

export interface BoxDoorOptions {
  /** Opens doors; if absent, none is ever opened. */
  doors?: Doors
  /** Key of the attempt, unique on this machine. */
  key: string
  network: Network
  /** Folder of the attempt, to which the door belongs. */
  folder: string
}

/** Opens the only way out of a box of any kind. There is none if the network is `none` and the box has no models. */
export class BoxDoor {
  readonly #options: BoxDoorOptions
  readonly #id: string
  #open: OpenDoor | undefined

  constructor(options: BoxDoorOptions) {
    this.#options = options
    this.#id = options.key.replace(/[^\w-]/g, '-')
  }

  /** Door opened by `prepare`; undefined if there is none. */
  get open(): OpenDoor | undefined {
    return this.#open
  }

  /** Opens the door, or gives an open one these rules. Throws `unavailable`. */
  async prepare({ models = [], budget = {} }: DoorAsked = {}): Promise<void> {
    const { doors, network, folder } = this.#options
    if (!doors || network === 'none' || (network === 'models' && models.length === 0)) return
    this.#open = await doors.open(this.#id, { network, models: [...models], budget }, folder)
  }

  told(offset: number): ToldSince {
    return this.#options.doors?.told(this.#id, offset) ?? { lines: [], offset }
  }

  async close(): Promise<void> {
    await this.#options.doors?.close(this.#id)
  }

  async remove(): Promise<void> {
    await this.#options.doors?.remove(this.#id)
  }
}
