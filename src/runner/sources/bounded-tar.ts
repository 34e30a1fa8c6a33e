import { Transform, type TransformCallback } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'

/** Bytes of the blocks of zeros that a tar ends with. */
const END_BYTES = 1024

/** Passes an unpacked tar on, counting real bytes: what a header says of a size decides nothing. */
export class BoundedTar extends Transform {
  readonly #maxBytes: number
  #bytes = 0
  #tail = Buffer.alloc(0)

  constructor(maxBytes: number) {
    super()
    this.#maxBytes = maxBytes
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length
    this.#tail = Buffer.concat([this.#tail.subarray(-END_BYTES), chunk.subarray(-END_BYTES)])
    if (this.#bytes <= this.#maxBytes) done(null, chunk)
    else
      done(
        new ErrandError(
          'source_refused',
          `The archive holds more than ${this.#maxBytes} bytes when unpacked.`,
          { hint: 'Leave out what is not needed to build: data, dependencies, the .git folder.' },
        ),
      )
  }

  override _flush(done: TransformCallback): void {
    const end = this.#tail.subarray(-END_BYTES)
    const whole = end.length === END_BYTES && end.every((byte) => byte === 0)
    done(
      whole
        ? null
        : new ErrandError('source_refused', 'The archive is cut off: it has no end.', { hint: again }),
    )
  }
}

const again = 'Pack and send it again.'
