import type { Box, BoxMounts } from '../sandbox/box.ts'
import type { ContainerMaker } from '../sandbox/boxes.ts'
import { ContainerBox } from './container-box.ts'
import { Containers, type ContainersOptions } from './containers.ts'

export interface MachineContainersOptions extends ContainersOptions {
  /** Image for steps that name none. */
  image?: string
  /** Places that the operator mounts into every box. */
  mounts: BoxMounts
  /** Files and folders of the hub and the runner that no box can see. */
  hidden: readonly string[]
}

/** Makes the containers of attempts on this machine. */
export class MachineContainers implements ContainerMaker {
  readonly #options: MachineContainersOptions
  readonly #containers: Containers
  #unusable: string | undefined = 'The container engine has not been checked yet.'

  /** Takes the options; asks nothing of the engine. */
  constructor(options: MachineContainersOptions) {
    this.#options = options
    this.#containers = new Containers(options)
  }

  /** Name that identifies its containers at the engine. */
  get name(): string {
    return this.#containers.name
  }

  get unusable(): string | undefined {
    return this.#unusable
  }

  get image(): string | undefined {
    return this.#options.image
  }

  /** Checks whether the engine is there. Never rejects; waits for a hanging engine no longer than for any answer. */
  async look(): Promise<void> {
    const found = await this.#containers.find()
    this.#unusable = found.type === 'usable' ? undefined : [found.why, found.hint].filter(Boolean).join(' ')
  }

  box(order: Parameters<ContainerMaker['box']>[0]): Box {
    const { mounts, hidden } = this.#options
    return new ContainerBox({ ...order, containers: this.#containers, mounts, hidden })
  }

  async sweep(log: (message: string) => void = () => undefined): Promise<void> {
    await this.#containers.sweep().then(
      (removed) => removed > 0 && log(`Removed ${removed} containers that attempts had left behind.`),
      (error: Error) =>
        log(`Could not remove what attempts left behind at the container engine: ${error.message}`),
    )
  }
}
