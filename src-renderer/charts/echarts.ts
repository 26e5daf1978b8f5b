// The parts of ECharts that our charts use; whoever draws imports this first.
import { CustomChart, LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent, MarkLineComponent, TitleComponent } from 'echarts/components';
import { use } from 'echarts/core';
import { CanvasRenderer, SVGRenderer } from 'echarts/renderers';

use([
  CanvasRenderer,
  SVGRenderer,
  LineChart,
  CustomChart,
  GridComponent,
  MarkLineComponent,
  TitleComponent,
  LegendComponent,
]);
