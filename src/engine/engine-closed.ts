import { ErrandError } from '../contract/errors.ts'

/** What is refused because nothing is committed any more. */
export const engineClosed = (): ErrandError =>
  new ErrandError('unavailable', 'The engine is closed.', { hint: 'Try again when it is up.' })
