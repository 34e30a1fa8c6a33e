import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export const noSmallDisk: string | false =
  process.platform === 'linux' && process.getuid?.() === 0
    ? false
    : 'to mount a small disk takes Linux and root'

/** Returns the reason to skip a test that mounts a small disk in a namespace of its own, which needs no root. */
export const noMountNamespace = (): string | false =>
  spawnSync('unshare', ['--map-root-user', '--mount', 'mount', '-t', 'tmpfs', 'probe', '/mnt']).status === 0
    ? false
    : 'no mount namespace can be made (unshare -rm); run as root, or set sysctl kernel.unprivileged_userns_clone=1'

/**
 * A folder that is a disk of its own, and is removed with the test. Create it before anything that is ended with the
 * test.
 */
export class SmallDisk {
  readonly #sizeMb: number
  #folder = ''

  constructor(t: TestContext, sizeMb = 256) {
    this.#sizeMb = sizeMb
    // Lazily, because the programs that work there are ended later.
    t.after(() => this.#folder !== '' && execFileSync('umount', ['--lazy', this.#folder]))
  }

  mount(folder: string): void {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${this.#sizeMb}m,mode=700`, 'small', folder])
    this.#folder = folder
  }

  fill(): void {
    for (const bytes of [1024 * 1024, 4096]) this.#append(Buffer.alloc(bytes))
  }

  free(): void {
    rmSync(join(this.#folder, 'filler'), { force: true })
  }

  /** Appends until the disk is full. */
  #append(bytes: Buffer): void {
    try {
      for (;;) appendFileSync(join(this.#folder, 'filler'), bytes)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
}
