package dvtest;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.analysis.no.NorwegianAnalyzer;
import org.elasticsearch.Build;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.index.analysis.AbstractIndexAnalyzerProvider;
import org.elasticsearch.index.analysis.Analysis;
import org.elasticsearch.index.analysis.AnalyzerProvider;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;

/** What the unpublished modules analysis-common and rest-root would bring: the norwegian analyzer, and an answer at the root. */
public class TestModule extends Plugin implements AnalysisPlugin, ActionPlugin {
  @Override
  public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
    return Map.of("norwegian", (index, environment, name, settings) -> {
      var stop = Analysis.parseStopWords(environment, settings, NorwegianAnalyzer.getDefaultStopSet());
      var unstemmed = Analysis.parseStemExclusion(settings, CharArraySet.EMPTY_SET);
      var analyzer = new NorwegianAnalyzer(stop, unstemmed);
      return new AbstractIndexAnalyzerProvider<NorwegianAnalyzer>(name) {
        @Override
        public NorwegianAnalyzer get() {
          return analyzer;
        }
      };
    });
  }

  @Override
  public Collection<RestHandler> getRestHandlers(
      RestHandlersServices services, Supplier<DiscoveryNodes> nodes, Predicate<NodeFeature> features) {
    return List.of(new BaseRestHandler() {
      @Override
      public String getName() {
        return "root";
      }

      @Override
      public List<Route> routes() {
        return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
      }

      @Override
      protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
        return channel -> {
          Build build = Build.current();
          var answer = channel.newBuilder().startObject();
          answer.field("name", nodes.get().getLocalNode().getName());
          answer.startObject("version");
          answer.field("number", build.qualifiedVersion()).field("build_flavor", build.flavor());
          answer.field("build_hash", build.hash()).endObject();
          answer.field("tagline", "You Know, for Search").endObject();
          channel.sendResponse(new RestResponse(RestStatus.OK, answer));
        };
      }
    });
  }
}
