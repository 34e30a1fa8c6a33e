import { Transform, type TransformCallback } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import { TarHeaderGuard } from './tar-header-guard.ts'
import { tooManyBytes } from './unpacked-files.ts'

/** Bytes of the blocks of zeros that a tar ends with. */
const END_BYTES = 1024

/** Passes an unpacked tar on, counting real bytes: what a header says of a size decides nothing. */
export class BoundedTar extends Transform {
  readonly #maxBytes: number
  readonly #guard: TarHeaderGuard
  readonly #what: string
  #bytes = 0
  #tail = Buffer.alloc(0)

  /** `maxHeaders`: of those that only change what follows them. `what` is bounded, in words. */
  constructor(maxBytes: number, maxHeaders: number, what: string) {
    super()
    this.#maxBytes = maxBytes
    this.#guard = new TarHeaderGuard(maxHeaders)
    this.#what = what
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length
    this.#tail = Buffer.concat([this.#tail.subarray(-END_BYTES), chunk.subarray(-END_BYTES)])
    done(this.#fault(chunk), chunk)
  }

  #fault(chunk: Buffer): ErrandError | null {
    if (this.#bytes > this.#maxBytes) return tooManyBytes(this.#what, this.#maxBytes)
    const fault = this.#guard.push(chunk)
    if (fault === undefined) return null
    return new ErrandError('source_refused', `The ${this.#what} ${fault}.`, { hint: again })
  }

  override _flush(done: TransformCallback): void {
    const end = this.#tail.subarray(-END_BYTES)
    const whole = end.length === END_BYTES && end.every((byte) => byte === 0)
    done(
      whole
        ? null
        : new ErrandError('source_refused', `The ${this.#what} is cut off: it has no end.`, { hint: again }),
    )
  }
}

const again = 'Pack and send it again.'
