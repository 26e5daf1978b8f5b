// Naive UI's themes in the colours and the density of the window (styles.css holds the same colours for our own parts).
import type { GlobalThemeOverrides } from 'naive-ui';

interface Palette {
  bg: string;
  panel: string;
  raised: string;
  line: string;
  text: string;
  text2: string;
  text3: string;
  accent: string;
  accentHover: string;
  accentPressed: string;
}
const dark: Palette = {
  bg: '#14171b',
  panel: '#1a1e23',
  raised: '#22272e',
  line: '#2f363f',
  text: '#e3e8ee',
  text2: '#b0bac5',
  text3: '#8c97a4',
  accent: '#5aa9ff',
  accentHover: '#7fbdff',
  accentPressed: '#3f93ee',
};
const light: Palette = {
  bg: '#eef0f3',
  panel: '#f8f9fa',
  raised: '#ffffff',
  line: '#d5dae0',
  text: '#1b2129',
  text2: '#46515d',
  text3: '#5f6b78',
  accent: '#0b63c5',
  accentHover: '#2b7bd6',
  accentPressed: '#084f9f',
};

const overrides = (c: Palette): GlobalThemeOverrides => ({
  common: {
    fontFamily: 'var(--sans)',
    fontFamilyMono: 'var(--mono)',
    fontSize: '13px',
    fontSizeMini: '11px',
    fontSizeTiny: '12px',
    fontSizeSmall: '13px',
    fontSizeMedium: '13px',
    heightTiny: '22px',
    heightSmall: '26px',
    heightMedium: '30px',
    borderRadius: '4px',
    borderRadiusSmall: '3px',
    primaryColor: c.accent,
    primaryColorHover: c.accentHover,
    primaryColorPressed: c.accentPressed,
    primaryColorSuppl: c.accent,
    textColorBase: c.text,
    textColor1: c.text,
    textColor2: c.text,
    textColor3: c.text2,
    placeholderColor: c.text3,
    borderColor: c.line,
    dividerColor: c.line,
    bodyColor: c.bg,
    cardColor: c.panel,
    modalColor: c.panel,
    popoverColor: c.raised,
    tableColor: c.panel,
    tableHeaderColor: c.raised,
    inputColor: c.raised,
  },
  DataTable: { thPaddingSmall: '4px 8px', tdPaddingSmall: '3px 8px' },
  Card: { paddingMedium: '12px 16px', titleFontSizeMedium: '14px' },
  Dialog: { padding: '16px', titleFontSize: '14px' },
  Form: { labelFontSizeTopSmall: '12px' },
});

export const darkOverrides = overrides(dark);
export const lightOverrides = overrides(light);
