import type { StreamEnd } from '../../contract/attempt.ts'

/** The end of a stream that nothing was written to: the SHA-256 of no bytes. */
export const EMPTY_STREAM: Readonly<StreamEnd> = {
  length: 0,
  sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
}
