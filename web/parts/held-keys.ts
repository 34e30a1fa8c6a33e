import { useEffect } from 'react'

interface Key {
  key: string
  /** Pressed with Ctrl or Cmd. */
  mod: boolean
  timeStamp: number
}

declare global {
  /**
   * The keys that `public/assets/keys-1.js` has recorded, and whether it records; undefined if it could not be
   * loaded.
   */
  var errandHeldKeys: { keys: Key[]; isHolding: boolean } | undefined
}

/**
 * Milliseconds for which a key is held. When one expires, later keys are dropped too: without it they may mean
 * something else.
 */
const LONGEST_MS = 5000
/** Letters that cancel, select, approve or deny: nobody means them before seeing the page. */
const CAREFUL = /^[xad]$/i

const isTextField = (element: Element | null): element is HTMLInputElement | HTMLTextAreaElement =>
  element instanceof HTMLTextAreaElement ||
  (element instanceof HTMLInputElement && /^(text|search|password|email|url)$/.test(element.type))

const isShown = ({ tabIndex, disabled, type }: HTMLInputElement) =>
  tabIndex >= 0 && !disabled && type !== 'hidden'

/**
 * Holds keys that are pressed while their target is still being loaded, and replays them in order.
 * - Holding: at least one hold is open. Keys are recorded until the last hold is released.
 * - Giving back: keys are replayed one by one, as text if a field has the focus, otherwise as keys of the page. A key
 *   may open a new hold, which stops the replay. An expired key, or one that cannot be replayed, drops the rest.
 * - Idle: keys reach the page directly.
 */
class HeldKeys {
  readonly #held = globalThis.errandHeldKeys ?? { keys: [], isHolding: false }
  #holds = 0
  #isGivingBack = false
  /** Releases the hold of a page that has not been shown yet. */
  #first = this.#held.isHolding ? this.hold() : undefined

  get isHolding(): boolean {
    return this.#held.isHolding
  }

  /** Called when the first page is shown. */
  begin(): void {
    this.#first?.()
    this.#first = undefined
  }

  /** Holds keys until the returned function is called, but at most as long as a single key is held. */
  hold(): () => void {
    this.#holds++
    this.#held.isHolding = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const release = () => {
      if (timer === undefined) return
      clearTimeout(timer)
      timer = undefined
      this.#holds--
      void this.#giveBack()
    }
    timer = setTimeout(release, LONGEST_MS)
    return release
  }

  async #giveBack(): Promise<void> {
    if (this.#isGivingBack) return
    this.#isGivingBack = true
    const { keys } = this.#held
    // Listeners for the keys are added once all effects of the new content have run.
    await aTask()
    // A key that opens something holds the keys after it.
    while (this.#holds === 0 && keys.length > 0) {
      const next = keys.shift()!
      if (performance.now() - next.timeStamp > LONGEST_MS || !press(next)) keys.length = 0
      await aTask()
    }
    this.#isGivingBack = false
    this.#held.isHolding = this.#holds > 0
  }
}

const aTask = () => new Promise((resolve) => setTimeout(resolve))

/** Replays a key and reports whether the next keys may follow. */
function press({ key, mod }: Key): boolean {
  const at = document.activeElement
  if (isTextField(at) && !mod) {
    if (key === 'Enter') return false
    if (key === 'Tab') {
      const fields = [...(at.form?.elements ?? [])].filter(
        (one) => isTextField(one) && isShown(one as HTMLInputElement),
      )
      const next = fields[fields.indexOf(at) + 1] as HTMLElement | undefined
      next?.focus()
      return next !== undefined
    }
    // Unlike setting a value, this is an input that the page notices and that can be undone.
    if (key === 'Backspace') return document.execCommand('delete')
    return document.execCommand('insertText', false, key)
  }
  if (key === 'Tab' || key === 'Enter') return false
  if (key === 'Backspace' || (!mod && CAREFUL.test(key))) return true
  const event = new KeyboardEvent('keydown', { key, ctrlKey: mod, bubbles: true, cancelable: true })
  ;(at ?? document.body).dispatchEvent(event)
  return true
}

export const heldKeys = new HeldKeys()

/** Holds keys while something is being loaded. */
export async function holdKeysUntil(loaded: Promise<unknown>): Promise<void> {
  const release = heldKeys.hold()
  await loaded.catch(() => undefined)
  release()
}

/** Keeps holding keys, of a page that was opened directly or by a key, until the page has its data. */
export function useHeldKeys(waits: boolean): void {
  useEffect(() => (waits && heldKeys.isHolding ? heldKeys.hold() : undefined), [waits])
}
