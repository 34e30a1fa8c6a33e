import { chooseTheme, type Theme, useTheme } from '../data/preferences.ts'

const themes: readonly Theme[] = ['system', 'light', 'dark']

/** Offers three themes, of which one is pressed. */
export function ThemeChoice({ className = '' }: { className?: string }) {
  const theme = useTheme()
  return (
    <fieldset className={`segments ${className}`}>
      <legend className="sr-only">Theme</legend>
      {themes.map((one) => (
        <button
          key={one}
          type="button"
          aria-pressed={theme === one}
          className="segment flex-1 px-3"
          onClick={() => chooseTheme(one)}
        >
          {one}
        </button>
      ))}
    </fieldset>
  )
}
