import { type ComponentType, lazy, type ReactNode, useState } from 'react'

/** A part of the page whose code is loaded separately. */
export interface Later<P> {
  (props: P): ReactNode
  /** Fetches the code before the part is shown. */
  fetch: () => void
}

/**
 * Returns a part whose code is fetched when it is first shown, below a `Suspense`, or earlier. Once the code is
 * loaded, the part is shown without a fallback: React would delay content behind a fallback by 300 ms.
 */
export function later<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): Later<P> {
  let begun: ReturnType<typeof load> | undefined
  let known: ComponentType<P> | undefined
  const fetch = () => {
    begun ??= load().then(
      (loaded) => {
        known = loaded.default
        return loaded
      },
      (error) => {
        // The hub was away: showing the part again repeats the request.
        begun = undefined
        throw error
      },
    )
    return begun
  }
  const Waiting = lazy(fetch)
  function Part(props: P) {
    const [Shown] = useState<ComponentType<P>>(() => known ?? Waiting)
    return <Shown {...props} />
  }
  return Object.assign(Part, { fetch: () => void fetch().catch(() => undefined) })
}
