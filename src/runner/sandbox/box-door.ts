import type { Network } from '../../contract/isolation.ts'
import type { Doors, OpenDoor } from '../proxy/doors.ts'
import type { DoorRules, ModelRule } from '../proxy/rules.ts'
import type { ToldSince } from '../proxy/telling.ts'

/** All that an attempt asks of its door, beside its network. */
export interface DoorAsked {
  models?: readonly ModelRule[]
  budget?: DoorRules['budget']
}

export interface BoxDoorOptions {
  /** Absent: none is ever opened. */
  doors?: Doors
  /** Of the attempt, among all of this machine. */
  key: string
  network: Network
  /** Folder of the attempt: without it the door is nobody's. */
  folder: string
}

/** The one way out of a box, of whatever kind: none where its network is none, or nothing but models of which it has none. */
export class BoxDoor {
  readonly #options: BoxDoorOptions
  readonly #id: string
  #open: OpenDoor | undefined

  constructor(options: BoxDoorOptions) {
    this.#options = options
    this.#id = options.key.replace(/[^\w-]/g, '-')
  }

  /** As it was opened by `prepare`; undefined: there is none. */
  get open(): OpenDoor | undefined {
    return this.#open
  }

  /** Opens it, or gives an open one these rules. Throws `unavailable`. */
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
