// A chart as a picture for papers and messages: with title, axis names and legend, which stand beside it on screen.
import '../echarts';
import { type EChartsCoreOption, init } from 'echarts/core';
import { DASH_LENGTHS, type Theme } from '../colours';
import { backgroundOf, type Level, type Line, type Look, lineOption, MARGIN, type View } from './option';

export interface Caption {
  title: string;
  axis: string;
}
const SIZE = { width: 960, height: 540 };
const LEGEND_ROW = 22;

/** The chart's option with room for a title above and a legend below. */
export function exportOption(
  lines: readonly Line[],
  levels: readonly Level[],
  view: View,
  look: Look,
  caption: Caption,
): EChartsCoreOption {
  const option = lineOption(lines, levels, { ...view, focus: null }, look);
  const text = look.theme === 'dark' ? '#e3e8ee' : '#1b2129';
  const font = 'system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif';
  const rows = Math.ceil(lines.length / 3);
  return {
    ...option,
    textStyle: { fontFamily: font },
    backgroundColor: backgroundOf(look.theme),
    title: { text: caption.title, left: 16, top: 12, textStyle: { color: text, fontSize: 16, fontWeight: 600 } },
    legend: {
      data: lines.map(({ label, mark, markers }) => ({
        name: label,
        // ECharts would put a circle on lines without markers too.
        itemStyle: { opacity: markers ? 1 : 0 },
        lineStyle: { type: mark.dash === 'solid' ? 'solid' : DASH_LENGTHS[mark.dash], width: 2 },
      })),
      left: 16,
      right: 16,
      bottom: 10,
      itemWidth: 32,
      textStyle: { color: text, fontSize: 12 },
      selectedMode: false,
    },
    grid: { left: MARGIN.left + 12, right: 24, top: 48, bottom: 52 + rows * LEGEND_ROW, outerBoundsMode: 'none' },
    xAxis: {
      ...(option.xAxis as object),
      name: caption.axis,
      nameLocation: 'middle',
      nameGap: 26,
      nameTextStyle: { color: text },
    },
  };
}

/** SVG text; scales without loss. */
export function svgOf(option: EChartsCoreOption): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...SIZE });
  try {
    chart.setOption(option);
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

/** PNG at twice the size, for sharp print. Made at once: `toBlob` waits for an idle moment, which live charts seldom leave. */
export function pngOf(option: EChartsCoreOption, theme: Theme): Blob {
  const box = document.createElement('div');
  const chart = init(box, null, { renderer: 'canvas', devicePixelRatio: 2, ...SIZE });
  try {
    chart.setOption(option);
    const address = chart.getDataURL({ type: 'png', pixelRatio: 2, backgroundColor: backgroundOf(theme) });
    const bytes = atob(address.slice(address.indexOf(',') + 1));
    return new Blob([Uint8Array.from(bytes, (char) => char.charCodeAt(0))], { type: 'image/png' });
  } finally {
    chart.dispose();
  }
}
