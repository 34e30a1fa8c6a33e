import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { basename } from 'node:path'
import type { TestContext } from 'node:test'
import { eventually } from '../support/errand-command.ts'

const run = (...[program, ...args]: [string, ...string[]]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()

/** Returns why a power cut is not possible here, or false. */
export function noPowerCut(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'to cut the power of a disk takes Linux and root'
  try {
    run('losetup', '--find')
    run('unshare', '--mount', 'true')
    run('mkfs.ext4', '-V')
    return false
  } catch (error) {
    return `no power can be cut here: ${(error as Error).message}`
  }
}

const SIZE_MB = 192

/**
 * A folder that is a disk of its own, and is removed with the test. Create it before anything that is ended with the
 * test.
 */
export class PowerCutDisk {
  #folder = ''
  #images = ''
  #count = 0
  #device = ''

  constructor(t: TestContext) {
    // Lazily, because the programs that work there are ended later.
    t.after(() => this.#folder !== '' && run('umount', '--lazy', this.#folder))
  }

  /** Mounts the disk at the folder. Its bytes are stored in `images`. */
  mount(folder: string, images: string): void {
    this.#folder = folder
    this.#images = images
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    run('truncate', '--size', `${SIZE_MB}M`, this.#image)
    // Otherwise the kernel continues to initialise it during the test.
    run('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', this.#image)
    this.#mountImage()
  }

  /**
   * Copies what the device has at this moment: data that was written but not synced may or may not be in it. Programs
   * that write into the folder must be stopped before, and must be ended before `restore` puts the copy in the
   * folder's place.
   */
  async cut(): Promise<{ restore(): void }> {
    const before = this.#image
    this.#count++
    // A device that writes while it is copied would give a state that it never had.
    await eventually('a copy of a device without writes', () => {
      const written = this.#written()
      run('cp', '--sparse=always', before, this.#image)
      return written !== undefined && written === this.#written()
    })
    return {
      restore: () => {
        run('umount', '--lazy', this.#folder)
        rmSync(before)
        this.#mountImage()
      },
    }
  }

  get #image(): string {
    return `${this.#images}.${this.#count}`
  }

  #mountImage(): void {
    this.#device = run('losetup', '--find', '--show', this.#image)
    run('mount', this.#device, this.#folder)
    // It is detached with the mount.
    run('losetup', '--detach', this.#device)
  }

  /** Returns how much it has written, or undefined while it is writing. */
  #written(): string | undefined {
    const stat = readFileSync(`/sys/block/${basename(this.#device)}/stat`, 'latin1')
      .trim()
      .split(/\s+/)
    const [, , , , writes, , sectors, , inFlight] = stat
    return inFlight === '0' ? `${writes} ${sectors}` : undefined
  }
}
