import type { TestContext } from 'node:test'
import type { Front } from './front.ts'
import { type Manner, manners } from './manners.ts'

export interface Through {
  /** Sits in front of the service. */
  front: Pick<Front, 'set' | 'release'>
  /**
   * Uses the service while it is spoiled. Checks what is reported about it, and that only accepted work counts as
   * done.
   */
  spoiled(manner: Manner): Promise<void>
  /** Checks that hub and runner live and do what does not need the service. */
  works(): Promise<void>
  /** Uses the working service again, or waits for pending work, without restarting anything. */
  mended(manner: Manner): Promise<void>
  /** The manners that are no failure for this service, with the reason. */
  except?: Partial<Record<Manner, string>>
}

/** Makes an outside service fail in every manner, one after the other. Lets it recover after each. */
export async function throughManners(t: TestContext, name: string, through: Through): Promise<void> {
  const { front, spoiled, works, mended, except = {} } = through
  for (const manner of manners.filter((each) => except[each] === undefined))
    await t.test(`${name}: ${manner}`, async () => {
      await front.set(manner)
      await spoiled(manner)
      await works()
      // Its client has given up by now.
      front.release()
      await front.set('well')
      await mended(manner)
    })
}
