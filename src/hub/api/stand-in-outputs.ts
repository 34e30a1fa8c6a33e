import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { OutputStore } from '../../engine/ports.ts'

/** For tests of the API: outputs in memory. */
export class StandInOutputs implements OutputStore {
  readonly #kept = new Map<string, { bytes: Buffer; length: number }>()

  begin(_spec: AttemptSpec): void {}

  async append(attemptId: string, stream: StreamName, _offset: number, bytes: Buffer): Promise<number> {
    const key = `${attemptId} ${stream}`
    const kept = this.#kept.get(key) ?? { bytes: Buffer.alloc(1024), length: 0 }
    this.#kept.set(key, kept)
    const length = kept.length + bytes.length
    if (length > kept.bytes.length) kept.bytes = Buffer.concat([kept.bytes], length * 2)
    bytes.copy(kept.bytes, kept.length)
    kept.length = length
    return length
  }

  async length(attemptId: string, stream: StreamName): Promise<number> {
    return this.#kept.get(`${attemptId} ${stream}`)?.length ?? 0
  }

  async read(attemptId: string, stream: StreamName, start: number, end: number): Promise<Buffer> {
    const kept = this.#kept.get(`${attemptId} ${stream}`)
    return kept === undefined ? Buffer.alloc(0) : kept.bytes.subarray(start, Math.min(end, kept.length))
  }

  async seal(attemptId: string, stream: StreamName) {
    return { length: await this.length(attemptId, stream), sha256: '' }
  }

  async remove(_runId: string): Promise<void> {}

  async close(): Promise<void> {}
}
